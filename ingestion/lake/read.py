"""Reading one person's readings."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.lake.files import dataset
from ingestion.lake.schema import INSTANT, UNIQUE_BY, unique
from ingestion.lake.tables import READINGS, File, Snapshot, newest
from ingestion.reading import ARROW_TYPES


def read(
    lake: str,
    *,
    organisation: str,
    subject: str,
    start: datetime,
    end: datetime,
    columns: Sequence[str],
    snapshot: Snapshot | None = None,
) -> pa.Table:
    """Readings of one person with start <= measured_at < end, sorted by time, each reading once (latest receipt).

    `start` and `end` carry a time zone. Until a day is sealed, doubles from two deliveries may lie in the table, and
    are dropped here. `snapshot` is the state of the table to read, by default the newest.
    """
    snapshot = snapshot or newest(lake, READINGS)
    files = [
        file
        for day in days(start, end)
        for file in snapshot.partition(organisation, day)
        if holds(file, subject, start, end)
    ]
    wanted = list(columns)
    if any(not file.sealed for file in files):
        wanted = list(dict.fromkeys([*columns, *UNIQUE_BY, *ARROW_TYPES]))
    found = (
        (pc.field("subject") == subject)
        & (pc.field("measured_at") >= pa.scalar(start, INSTANT))
        & (pc.field("measured_at") < pa.scalar(end, INSTANT))
    )
    rows = dataset(lake, READINGS, files).to_table(columns=_with_time(wanted), filter=found)
    rows = unique(rows) if len(wanted) > len(columns) else rows.sort_by([("measured_at", "ascending")])
    return rows.select(list(columns))


def days(start: datetime, end: datetime) -> Iterable[date]:
    """The UTC days that [start, end) touches."""
    first = start.astimezone(UTC).date()
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def holds(file: File, subject: str, start: datetime, end: datetime) -> bool:
    """Whether the file can hold something of this person and time, as far as its statistics say."""
    if file.lowest is not None and file.highest is not None and not file.lowest <= subject <= file.highest:
        return False
    return file.first is None or file.last is None or (file.first < end and file.last >= start)


def _with_time(columns: list[str]) -> list[str]:
    return columns if "measured_at" in columns else [*columns, "measured_at"]
