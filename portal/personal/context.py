"""Context that a patient or a clinician tells: it holds back personal alerts for a while, and never absolute ones."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from portal.alerts.live import announce_after_commit
from portal.people.models import Change, Patient
from portal.people.services import change_record
from portal.personal.models import ContextTag

if TYPE_CHECKING:
    from portal.accounts.models import User

LONGEST = timedelta(days=14)
BACK = timedelta(days=7)


def tag_add(
    *, patient: Patient, kind: str, since: datetime, until: datetime, note: str, by: "User", now: datetime
) -> ContextTag:
    """Say that [since, until) explains unusual values. Raises ValidationError, or PermissionDenied."""
    _may(patient, by)
    if not now - BACK <= since or since > now + LONGEST:
        raise ValidationError("The begin must be within the last 7 days or the next 14.")
    if not since < until <= since + LONGEST or until <= now - BACK:
        raise ValidationError("The end must be after the begin, and at most 14 days later.")
    tag = ContextTag(patient=patient, kind=kind, since=since, until=until, note=note.strip(), by=by, at=now)
    tag.full_clean()
    with transaction.atomic():
        tag.save()
        _changed(patient, now)
    return tag


def tag_end(*, tag: ContextTag, by: "User", now: datetime) -> None:
    """It is over now, or never came: what was kept back meanwhile stays on the record."""
    _may(tag.patient, by)
    with transaction.atomic():
        if tag.since >= now:
            tag.delete()
        elif tag.until > now:
            tag.until = now
            tag.save(update_fields=["until"])
        _changed(tag.patient, now)


def _may(patient: Patient, user: "User") -> None:
    if not Patient.objects.visible_to(user).filter(pk=patient.pk).exists():
        raise PermissionDenied("Only the person and their care team may say this.")


def _changed(patient: Patient, now: datetime) -> None:
    change_record(
        organisation_id=patient.organisation_id, kind=Change.Kind.MODEL, patient=patient, what="context", now=now
    )
    announce_after_commit(patient.organisation_id)
