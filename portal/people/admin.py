"""Organisations, care teams and patients in the admin site."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from portal.alerts.admin import EscalationStepInline
from portal.people.models import CareTeam, Change, Organisation, Patient
from portal.people.services import change_record
from portal.personal.tasks import train_one_person


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
    actions = ["train_people"]

    def save_model(self, request: HttpRequest, obj: Patient, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        change_record(
            organisation_id=obj.organisation_id,
            kind=Change.Kind.PATIENT,
            patient=obj,
            what="changed" if change else "added",
            now=timezone.now(),
        )

    @admin.action(description="Train the personal models of these people now")
    def train_people(self, request: HttpRequest, queryset: QuerySet[Patient]) -> None:
        for patient in queryset:
            train_one_person.delay(patient=patient.pk, by=request.user.pk)
        messages.success(request, "Training has started: see the training runs.")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a person is erased everywhere or nowhere
