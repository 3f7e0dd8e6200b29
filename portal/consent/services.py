"""Giving and withdrawing consent."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import transaction

from portal.alerts.live import announce
from portal.consent.models import ConsentEntry, Purpose
from portal.consent.text import VERSION
from portal.people.models import Change, Patient
from portal.people.services import change_record

if TYPE_CHECKING:
    from portal.accounts.models import User


def consent_record(*, patient: Patient, purpose: Purpose, given: bool, by: "User", now: datetime) -> ConsentEntry:
    """Add an entry to the ledger; it is in force at once, and at the door within seconds.

    Only the person may decide, or an administrator who records a decision made on paper; anybody else is refused with
    PermissionDenied.
    """
    if patient.user_id != by.pk and not by.is_superuser:
        raise PermissionDenied("Only the person may give or withdraw consent.")
    with transaction.atomic():
        change = change_record(
            organisation_id=patient.organisation_id,
            kind=Change.Kind.CONSENT,
            patient=patient,
            what="given" if given else "withdrawn",
            now=now,
        )
        # The entry carries the change's sequence, so here the change comes before the last statement.
        entry = ConsentEntry.objects.create(
            patient=patient,
            purpose=purpose,
            given=given,
            at=now,
            by=by,
            text_version=VERSION,
            sequence=change.sequence,
        )
    announce([patient.organisation_id])
    return entry
