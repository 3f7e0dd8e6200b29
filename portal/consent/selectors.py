"""The consent in force: the newest entry of each purpose."""

from collections.abc import Collection
from datetime import datetime

from portal.consent.models import ConsentEntry, Purpose
from portal.people.models import Patient


def consents_of(patient: Patient) -> dict[str, ConsentEntry | None]:
    """The entry in force by purpose; None where nothing was ever said, which means no consent."""
    newest: dict[str, ConsentEntry | None] = dict.fromkeys(Purpose.values)
    for entry in ConsentEntry.objects.filter(patient=patient).select_related("by").order_by("pk"):
        newest[entry.purpose] = entry
    return newest


def has_consent(patient: Patient, purpose: Purpose) -> bool:
    entry = ConsentEntry.objects.filter(patient=patient, purpose=purpose).order_by("-pk").first()
    return entry is not None and entry.given


def consenting(patients: Collection[Patient], purpose: Purpose) -> set[int]:
    """The primary keys of those who have consented, in one query."""
    return set(consenting_since(patients, purpose))


def consenting_since(patients: Collection[Patient], purpose: Purpose) -> dict[int, datetime]:
    """When those who have consented last said so, by primary key (UTC), in one query."""
    newest: dict[int, tuple[bool, datetime]] = {}
    rows = ConsentEntry.objects.filter(patient__in=[p.pk for p in patients], purpose=purpose).order_by("pk")
    for patient, given, at in rows.values_list("patient_id", "given", "at"):
        newest[patient] = (given, at)
    return {patient: at for patient, (given, at) in newest.items() if given}
