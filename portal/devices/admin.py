"""Operators add devices and assign them here; everything goes through the services, so that the door hears of it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from portal.devices.models import Assignment, Device
from portal.devices.services import device_add, device_assign, device_change, device_return
from portal.people.models import Patient


class DeviceForm(forms.ModelForm):
    assign_to = forms.ModelChoiceField(
        Patient.objects.all(), required=False, help_text="From the moment you save, its readings are this patient's."
    )

    class Meta:
        model = Device
        fields = ["organisation", "device_id", "kind", "retired_at"]

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        patient, organisation = data.get("assign_to"), data.get("organisation")
        if patient and organisation and patient.organisation_id != organisation.pk:
            self.add_error("assign_to", "This patient belongs to another organisation.")
        if patient and self.instance.pk and self.instance.assignments.filter(ended_at__isnull=True).exists():
            self.add_error("assign_to", "The device is assigned already: return it first (action in the list).")
        return data


class AssignmentInline(admin.TabularInline):
    model = Assignment
    extra = 0
    can_delete = False
    readonly_fields = ("patient", "started_at", "ended_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Device)
class DeviceAdmin(admin.ModelAdmin):
    form = DeviceForm
    inlines = [AssignmentInline]
    list_display = ("device_id", "kind", "organisation", "assigned_to", "retired_at")
    list_filter = ("kind", "organisation")
    search_fields = ("device_id", "assignments__patient__name")
    actions = ["return_devices"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        return super().get_queryset(request).prefetch_related("assignments__patient")

    @admin.display(description="assigned to")
    def assigned_to(self, device: Device) -> str:
        return next((a.patient.name for a in device.assignments.all() if a.ended_at is None), "nobody")

    def save_model(self, request: HttpRequest, obj: Device, form: ModelForm, change: bool) -> None:
        now = timezone.now()
        save = device_change if change else device_add
        save(device=obj, now=now)
        if patient := form.cleaned_data.get("assign_to"):
            device_assign(device=obj, patient=patient, now=now)

    @admin.action(description="Return: from now on nobody's", permissions=["change"])
    def return_devices(self, request: HttpRequest, devices: QuerySet[Device]) -> None:
        returned = 0
        for assignment in Assignment.objects.filter(device__in=devices, ended_at__isnull=True):
            try:
                device_return(assignment=assignment, now=timezone.now())
                returned += 1
            except ValidationError as error:
                messages.error(request, error.message)
        messages.success(request, f"{returned} devices returned.")
