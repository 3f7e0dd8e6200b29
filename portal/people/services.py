"""Recording what changed."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from portal.people.models import Change, Organisation, Patient


def change_record(
    *,
    organisation_id: int,
    kind: Change.Kind,
    now: datetime,
    patient: Patient | None = None,
    what: str = "",
    row: int | None = None,
) -> Change:
    """Append a change; call it last inside the transaction that makes it.

    The counter's row stays locked until the commit, so sequences are in commit order and a reader that has seen
    sequence n will never be handed a smaller one later.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("change_record belongs inside the transaction that makes the change")
    Organisation.objects.filter(pk=organisation_id).update(counter=F("counter") + 1)
    sequence = Organisation.objects.values_list("counter", flat=True).get(pk=organisation_id)
    return Change.objects.create(
        organisation_id=organisation_id, sequence=sequence, kind=kind, patient=patient, what=what, row=row, at=now
    )
