"""Late rows of a quarter that is in the archive: what they change in its summaries.

The archived rows cannot be read for this, so late rows are added to the summaries as they are: counts, totals,
extremes and histograms merge. A late row that had been archived already would be counted twice; that is why such
summaries are marked as amended.
"""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from ingestion.lake.files import dataset
from ingestion.lake.schema import INSTANT
from ingestion.lake.seal import summaries_replace
from ingestion.lake.storage import storage_options
from ingestion.lake.summaries import ROW_SCHEMA, SORTED, summarise, touching
from ingestion.lake.tables import SUMMARIES, open_table, snapshot_of, table_url

_KEY = ("subject", "vital", "quarter")


def summaries_version(lake: str) -> int:
    """The version of the summaries now: what `summaries_add` takes as its base."""
    return int(open_table(lake, SUMMARIES).version())


def summaries_add(lake: str, organisation: str, day: date, late: pa.Table, *, base: int) -> None:
    """Make the day's summaries those of version `base` with `late` added, for the people in `late`.

    `late` are readings of that UTC day, sorted by (subject, measured_at), each once. Doing it again gives the same.
    Raises files.Changed if others kept changing that day's summaries.
    """
    if late.num_rows == 0:
        return
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(days=1)
    url = table_url(lake, SUMMARIES)
    before = _of_day(
        lake, DeltaTable(url, version=base, storage_options=storage_options(url)), organisation, start, end
    )
    table = open_table(lake, SUMMARIES)
    now = _of_day(lake, table, organisation, start, end)
    people = pc.unique(late["subject"])
    theirs = before.filter(pc.is_in(before["subject"], people))
    others = now.filter(pc.invert(pc.is_in(now["subject"], people)))
    merged = merge(pa.concat_tables([theirs, summarise(late)]))
    rows = pa.concat_tables([others, merged]).sort_by(SORTED)
    summaries_replace(lake, organisation, start, end, rows, table)


def merge(rows: pa.Table) -> pa.Table:
    """Summaries (ROW_SCHEMA) of the same person, vital and quarter as one row; minutes are added, 15 at most."""
    grouped: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for row in rows.to_pylist():
        grouped.setdefault(tuple(row[name] for name in _KEY), []).append(row)
    return pa.Table.from_pylist([_one(some) for some in grouped.values()], schema=ROW_SCHEMA)


def _one(rows: list[dict[str, object]]) -> dict[str, object]:
    if len(rows) == 1:
        return rows[0]
    steps = np.concatenate([np.asarray(row["steps"], np.int64) for row in rows])
    times = np.concatenate([np.asarray(row["times"], np.int64) for row in rows])
    values, place = np.unique(steps, return_inverse=True)

    def of(name: str) -> list[float]:
        return [float(str(row[name])) for row in rows]

    return {
        **{name: rows[0][name] for name in _KEY},
        "count": int(sum(of("count"))),
        "total": sum(of("total")),
        "low": min(of("low")),
        "high": max(of("high")),
        "minutes": min(int(sum(of("minutes"))), 15),
        "steps": values.tolist(),
        "times": np.bincount(place, weights=times).astype(int).tolist(),
        "devices": sorted({name for row in rows for name in _names(row)}),
    }


def _names(row: dict[str, object]) -> list[str]:
    devices = row["devices"]
    return [str(name) for name in devices] if isinstance(devices, list) else []


def _of_day(lake: str, table: DeltaTable, organisation: str, start: datetime, end: datetime) -> pa.Table:
    files = touching(snapshot_of(table, SUMMARIES), organisation, start, end)
    inside = (pc.field("quarter") >= pa.scalar(start, INSTANT)) & (pc.field("quarter") < pa.scalar(end, INSTANT))
    return dataset(lake, SUMMARIES, files).to_table(columns=ROW_SCHEMA.names, filter=inside).cast(ROW_SCHEMA)
