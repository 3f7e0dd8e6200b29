"""Giving and withdrawing consent."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import transaction

from portal.alerts.live import announce_after_commit
from portal.alerts.services import episodes_unwatch
from portal.consent.models import ConsentEntry, Purpose
from portal.consent.text import VERSION
from portal.people.models import Change, Patient
from portal.people.services import change_record

if TYPE_CHECKING:
    from portal.accounts.models import User


def consent_record(*, patient: Patient, purpose: Purpose, given: bool, by: "User", now: datetime) -> ConsentEntry:
    """Add an entry to the ledger; it is in force at once, and at the door within seconds.

    To say again what is in force on the same text adds nothing. Withdrawing consent to care ends the open episodes,
    and the team is told of each alert that is not closed: nobody can see any more what becomes of it. Withdrawing
    consent to a personal model ends the open episodes of that model, and the model is deleted.

    Only the person may decide, or a superuser who records a decision made on paper; anybody else is refused with
    PermissionDenied.
    """
    if patient.user_id != by.pk and not by.is_superuser:
        raise PermissionDenied("Only the person may give or withdraw consent.")
    from portal.personal.tasks import model_forget

    with transaction.atomic():
        Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)  # two decisions wait for each other
        newest = ConsentEntry.objects.filter(patient=patient, purpose=purpose).first()
        if newest is not None and (newest.given, newest.text_version) == (given, VERSION):
            return newest
        what = "given" if given else "withdrawn"
        if purpose == Purpose.CARE:
            if not given:
                episodes_unwatch(patient=patient, why="Consent to care was withdrawn", now=now, tell_team=True)
            # The watcher follows plans: whom it may watch has changed, and it reads plans and episodes anew.
            _change(patient, Change.Kind.PLAN, f"consent {what}", now)
        if purpose == Purpose.PERSONAL_MODEL and not given:
            why = "Consent to a personal model was withdrawn"
            episodes_unwatch(patient=patient, why=why, now=now, cause="personal:")
            model_forget.delay_on_commit(subject=patient.subject)
        # The entry carries the change's sequence, so here the change comes before the last statement.
        change = _change(patient, Change.Kind.CONSENT, what, now)
        entry = ConsentEntry.objects.create(
            patient=patient,
            purpose=purpose,
            given=given,
            at=now,
            by=by,
            text_version=VERSION,
            sequence=change.sequence,
        )
        announce_after_commit(patient.organisation_id)
    return entry


def _change(patient: Patient, kind: Change.Kind, what: str, now: datetime) -> Change:
    return change_record(organisation_id=patient.organisation_id, kind=kind, patient=patient, what=what, now=now)
