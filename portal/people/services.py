"""Recording what changed."""

from collections.abc import Sequence
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
    change = Change(organisation_id=organisation_id, kind=kind, patient=patient, what=what, row=row, at=now)
    changes_record(organisation_id, [change])
    return change


def changes_record(organisation_id: int, changes: Sequence[Change]) -> None:
    """Append these changes of one organisation in their order, with the sequences that follow; see `change_record`.

    The number of queries does not depend on how many there are.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("change_record belongs inside the transaction that makes the change")
    Organisation.objects.filter(pk=organisation_id).update(counter=F("counter") + len(changes))
    last = Organisation.objects.values_list("counter", flat=True).get(pk=organisation_id)
    for sequence, change in enumerate(changes, last - len(changes) + 1):
        change.organisation_id, change.sequence = organisation_id, sequence
    Change.objects.bulk_create(changes)
