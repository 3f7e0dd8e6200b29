"""Organisations, care teams and patients in the admin site."""

from typing import Any

from django import forms
from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from portal.alerts.admin import EscalationStepInline
from portal.people.models import CareTeam, Change, Organisation, Patient
from portal.people.services import change_record


@admin.register(Organisation)
class OrganisationAdmin(admin.ModelAdmin):
    list_display = ("name", "key")


@admin.register(CareTeam)
class CareTeamAdmin(admin.ModelAdmin):
    list_display = ("name", "organisation")
    filter_horizontal = ("members",)
    inlines = [EscalationStepInline]


class PatientForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        organisation, team, user = data.get("organisation"), data.get("care_team"), data.get("user")
        if organisation and team and team.organisation_id != organisation.pk:
            self.add_error("care_team", "This care team belongs to another organisation.")
        if organisation and user and (not user.is_patient or user.organisation_id != organisation.pk):
            self.add_error("user", "Choose a user of this organisation whose role is patient.")
        return data


@admin.register(Patient)
class PatientAdmin(admin.ModelAdmin):
    form = PatientForm
    list_display = ("name", "birth_date", "care_team", "organisation")
    list_filter = ("care_team",)
    search_fields = ("name",)
    readonly_fields = ("subject",)

    def save_model(self, request: HttpRequest, obj: Patient, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        change_record(
            organisation_id=obj.organisation_id,
            kind=Change.Kind.PATIENT,
            patient=obj,
            what="changed" if change else "added",
            now=timezone.now(),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a person is erased everywhere or nowhere
