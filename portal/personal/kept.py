"""What a tag kept back, on the record: every suppression has its reason."""

from collections.abc import Sequence

from analytics.personal import KeptBack as Found
from portal.people.models import Patient
from portal.personal.models import KeptBack


def kept_back_record(found: Sequence[Found]) -> None:
    """Record what the watcher found; the same once more changes nothing. Call it inside the watcher's transaction."""
    if not found:
        return
    patients = dict(Patient.objects.filter(subject__in={k.subject for k in found}).values_list("subject", "pk"))
    KeptBack.objects.bulk_create(
        [
            KeptBack(patient_id=patients[k.subject], cause=k.cause, at=k.at, tag=k.tag)
            for k in found
            if k.subject in patients
        ],
        ignore_conflicts=True,
    )
