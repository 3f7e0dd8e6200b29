"""A copy of readings as plain Parquet, for tools that read neither a Delta log nor SQL."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analytics.sql import Session

PURPOSES = ("care", "research", "sharing")


@dataclass(frozen=True, slots=True)
class Exported:
    rows: int
    days: int


def export(
    lake: str,
    folder: Path,
    *,
    purpose: str,
    consents: pa.Table,
    first: date | None = None,
    last: date | None = None,
) -> Exported:
    """Write the view of this purpose into `folder`/day=YYYY-MM-DD/readings.parquet, each day anew.

    The day is in the folder's name and not in the file: Athena and Hive refuse a column that is both. A copy does not
    hear of a consent that is withdrawn later, nor of late rows: make it again. Raises ValueError for another purpose or
    a folder that has something else in it.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"Choose one of the purposes: {', '.join(PURPOSES)}.")
    folder.mkdir(parents=True, exist_ok=True)
    if strange := [p.name for p in folder.iterdir() if not p.name.startswith("day=")]:
        raise ValueError(f"{folder} holds {strange[0]}: choose an empty folder, or one of an earlier export.")
    session = Session(lake, consents=consents)
    spans = {file.span for file in session.snapshot.files}
    days = sorted(d for d in spans if (first is None or d >= first) and (last is None or d <= last))
    written = 0
    for day in days:
        select = (
            f"SELECT * EXCLUDE (day) FROM {purpose}_readings WHERE day = DATE '{day}' ORDER BY subject, measured_at"  # noqa: S608 a purpose of ours, a date
        )
        rows = session.table(select)
        place = folder / f"day={day}"
        place.mkdir(exist_ok=True)
        unfinished = place / "readings.parquet.unfinished"
        pq.write_table(rows, unfinished, compression="zstd")
        unfinished.replace(place / "readings.parquet")
        written += rows.num_rows
    return Exported(written, len(days))
