"""Writing to a lake in a test, and recounting by hand what must be in it."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.lake import append, open_readings, position, read
from ingestion.lake.summaries import read_summaries
from ingestion.lake.tables import READINGS, newest
from tests.analytics.readings import ALICE, Row, table

ORGANISATION = "0" * 8


def add(lake: str, rows: Iterable[Row], partition: int = 0, begin: int | None = None) -> None:
    """Append rows as an archive task would: from the table's position on, one offset each.

    With `begin`, the offset of the first row: nothing is done if the table is beyond it.
    """
    rows = list(rows)
    opened = open_readings(lake)
    there = position(opened, "t", partition) or 0
    if begin is not None and there > begin:
        return
    begin = there
    append(opened, table(rows), topic_id="t", begin={partition: begin}, end={partition: begin + len(rows)})


def values(lake: str, subject: str = ALICE, vital: str = "heart_rate") -> list[float]:
    """All that was measured of this vital, in order of time."""
    found = read(lake, organisation=ORGANISATION, subject=subject, columns=[vital], **_around(lake))
    return [v for v in found[vital].to_pylist() if v is not None]


def summaries(lake: str, subject: str = ALICE, vital: str = "heart_rate") -> dict[datetime, dict[str, Any]]:
    """The summaries of one vital by quarter."""
    names = ["quarter", "count", "total", "low", "high", "minutes", "steps", "times", "devices"]
    found = read_summaries(
        lake, organisation=ORGANISATION, subject=subject, vitals=[vital], columns=names, **_around(lake)
    )
    rows = {row.pop("quarter"): row for row in found.to_pylist()}
    assert len(rows) == found.num_rows, "a quarter is summarised twice"
    return rows


def recount(rows: Iterable[Row], vital: str = "heart_rate") -> dict[datetime, dict[str, Any]]:
    """Summaries made by hand from rows that are each there once; for a vital in whole numbers."""
    found = defaultdict(list)
    for row in rows:
        if row.get(vital) is not None:
            at = row["measured_at"]
            found[at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)].append(row)
    result = {}
    for quarter, of_quarter in found.items():
        numbers = [row[vital] for row in of_quarter]
        steps = sorted({round(n) for n in numbers})
        result[quarter] = {
            "count": len(numbers),
            "total": statistics.fsum(numbers),
            "low": min(numbers),
            "high": max(numbers),
            "minutes": len({row["measured_at"].minute for row in of_quarter}),
            "steps": steps,
            "times": [sum(round(n) == s for n in numbers) for s in steps],
            "devices": sorted({row["device_id"] for row in of_quarter}),
        }
    return result


def _around(lake: str) -> dict[str, datetime]:
    """From the first day that the lake knows to the last, since asking for decades means asking for each day."""
    spans = [file.span for file in newest(lake, READINGS).files]
    start = datetime.combine(min(spans), datetime.min.time(), UTC)
    return {"start": start, "end": datetime.combine(max(spans), datetime.min.time(), UTC) + timedelta(days=1)}
