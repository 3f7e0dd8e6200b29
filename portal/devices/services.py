"""Devices come to a person, and go back."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from portal.devices.models import Assignment, Device
from portal.people.models import Change, Patient
from portal.people.services import change_record


def device_assign(*, device: Device, patient: Patient, now: datetime, started_at: datetime | None = None) -> Assignment:
    """From `started_at` (now, unless it is known better) the device's readings are this patient's.

    Raises ValidationError if the device belongs to somebody at that time or later, or to another organisation.
    """
    start = started_at or now
    with transaction.atomic():
        # Two assignments of one device wait for each other.
        Device.objects.select_for_update(no_key=True).get(pk=device.pk)
        if device.organisation_id != patient.organisation_id:
            raise ValidationError("Device and patient belong to different organisations.")
        taken = device.assignments.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=start)).first()
        if taken is not None:
            raise ValidationError(
                f"{device} is assigned to {taken.patient} at that time: end that assignment first, or start later."
            )
        assignment = Assignment.objects.create(device=device, patient=patient, started_at=start)
        _change(assignment, "assigned", now)
    return assignment


def device_return(*, assignment: Assignment, now: datetime) -> Assignment:
    """From now on the device is nobody's. Raises ValidationError if it already is."""
    with transaction.atomic():
        assignment = Assignment.objects.select_for_update(of=("self",)).get(pk=assignment.pk)
        if assignment.ended_at is not None:
            raise ValidationError(f"{assignment.device} has already been returned.")
        if assignment.started_at >= now:
            raise ValidationError(f"{assignment.device} is assigned from a later time: return it after that.")
        assignment.ended_at = now
        assignment.save(update_fields=["ended_at"])
        _change(assignment, "returned", now)
    return assignment


def device_add(*, device: Device, now: datetime) -> Device:
    """Save a new device. Raises ValidationError if its id is taken."""
    device.full_clean()
    return _saved(device, "added", now)


def device_change(*, device: Device, now: datetime) -> Device:
    """Save a device that was renamed, moved or retired."""
    device.full_clean()
    return _saved(device, "changed", now)


def _saved(device: Device, what: str, now: datetime) -> Device:
    with transaction.atomic():
        device.save()
        change_record(
            organisation_id=device.organisation_id, kind=Change.Kind.DEVICE, what=what, row=device.pk, now=now
        )
    return device


def _change(assignment: Assignment, what: str, now: datetime) -> None:
    change_record(
        organisation_id=assignment.patient.organisation_id,
        kind=Change.Kind.DEVICE,
        patient=assignment.patient,
        what=what,
        row=assignment.device_id,
        now=now,
    )
