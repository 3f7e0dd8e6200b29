"""What of a person is in the archive, and what has been asked for."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingestion.cold import Quarter
from portal.archive.models import Batch, Part, Request
from portal.people.models import Patient

_MOMENT = timedelta(microseconds=1)  # ends are the first moment after


@dataclass(frozen=True, slots=True)
class ArchivedQuarter:
    """A person's quarter in the archive. `amended` says that readings came late, after it was put away."""

    quarter: Quarter
    rows: int
    amended: bool


def parts_of(patient: Patient, start: datetime, end: datetime) -> list[Part]:
    """The objects that hold this person's readings of [start, end), oldest first."""
    parts = Part.objects.filter(
        subject=patient.subject, batch__state=Batch.State.DONE, first_at__lt=end, last_at__gte=start
    )
    return list(parts.select_related("batch").order_by("batch__year", "batch__number", "batch__sequence"))


def quarters_of(patient: Patient, start: datetime, end: datetime) -> list[ArchivedQuarter]:
    """This person's quarters in the archive that touch [start, end), oldest first."""
    found: dict[Quarter, list[Part]] = {}
    for part in parts_of(patient, start, end):
        found.setdefault(part.batch.quarter, []).append(part)
    return [
        ArchivedQuarter(quarter, sum(p.rows for p in parts), any(p.batch.sequence > 1 for p in parts))
        for quarter, parts in sorted(found.items())
    ]


def archived_text(patient: Patient, start: datetime, end: datetime) -> str:
    """What of [start, end) is in the archive, in one sentence; empty if nothing is."""
    quarters = quarters_of(patient, start, end)
    if not quarters:
        return ""
    stretches: list[list[Quarter]] = []
    for one in quarters:
        if stretches and stretches[-1][-1].following == one.quarter:
            stretches[-1].append(one.quarter)
        else:
            stretches.append([one.quarter])
    spans = [f"{max(s[0].start, start):%-d %b %Y} to {min(s[-1].end, end) - _MOMENT:%-d %b %Y}" for s in stretches]
    late = " Readings that came late are counted in as they are." if any(q.amended for q in quarters) else ""
    return (
        f"Single readings from {' and from '.join(spans)} are in the archive; trends there come from summaries.{late}"
    )


def requests_of(patient: Patient) -> list[Request]:
    return list(patient.archive_requests.select_related("asked_by").prefetch_related("wanted__part")[:20])
