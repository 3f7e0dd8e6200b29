"""Quarter-hour summaries: what one person's vital was in a quarter of an hour, in a form that merges exactly.

Every zone's day is made of whole quarters of UTC (all offsets since 1972 are multiples of 15 minutes), so days, weeks
and months of any time zone can be made of these rows without the readings. Count, total, extremes and minutes merge by
adding and comparing; quantiles by adding histograms whose steps are the resolution at which the vital is reported.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.lake.files import dataset
from ingestion.lake.read import holds
from ingestion.lake.schema import INSTANT
from ingestion.lake.tables import SUMMARIES, SUMMARY_SCHEMA, File, Snapshot, newest
from ingestion.vitals import NUMBERS, VITALS

QUARTER_US = 900_000_000
MINUTE_US = 60_000_000
ROW_SCHEMA = pa.schema([f for f in SUMMARY_SCHEMA if f.name not in SUMMARIES.partition_by])
SORTED = [("subject", "ascending"), ("vital", "ascending"), ("quarter", "ascending")]


def resolution(vital: str) -> float:
    """The step at which this vital's values are told apart in a histogram, in its unit."""
    return float(10.0 ** -VITALS[vital].decimals)


def summarise(rows: pa.Table, vitals: Sequence[str] = NUMBERS) -> pa.Table:
    """Summaries (ROW_SCHEMA, sorted) of readings, sorted by (subject, measured_at) and each there once.

    `rows` has subject, measured_at, device_id and the vitals, those that are missing counting as not measured.
    """
    measured = [v for v in vitals if v in rows.column_names and rows[v].null_count < rows.num_rows]
    parts = [_summarise_one(rows, vital) for vital in measured]
    return pa.concat_tables(parts or [ROW_SCHEMA.empty_table()]).sort_by(SORTED)


def _summarise_one(rows: pa.Table, vital: str) -> pa.Table:
    rows = rows.select(["subject", "measured_at", "device_id", vital]).filter(pc.is_valid(rows[vital]))
    people = rows["subject"].combine_chunks().dictionary_encode()
    person = people.indices.to_numpy().astype(np.int64)
    times = rows["measured_at"].cast(pa.int64()).to_numpy()
    values = rows[vital].to_numpy()
    quarter = times // QUARTER_US
    begins = _changes(person, quarter)
    group = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    counts = np.diff(np.r_[first, len(values)])
    steps, often, histogram = _histogram(group, values, vital, len(first))
    devices, device_ends = _devices(group, rows["device_id"].combine_chunks(), len(first))
    columns = {
        "subject": people.dictionary.take(pa.array(person[first])),
        "vital": pa.repeat(pa.scalar(vital), len(first)),
        "quarter": pa.array(quarter[first] * QUARTER_US).cast(INSTANT),
        "count": pa.array(counts, pa.int32()),
        "total": pa.array(np.add.reduceat(values, first)),
        "low": pa.array(np.minimum.reduceat(values, first)),
        "high": pa.array(np.maximum.reduceat(values, first)),
        "minutes": pa.array(
            np.add.reduceat(_changes(person, times // MINUTE_US).astype(np.int64), first).astype(np.int8)
        ),
        "steps": pa.ListArray.from_arrays(histogram, steps),
        "times": pa.ListArray.from_arrays(histogram, often),
        "devices": pa.ListArray.from_arrays(device_ends, devices),
    }
    return pa.table([columns[f.name].cast(f.type) for f in ROW_SCHEMA], schema=ROW_SCHEMA)


def _changes(*keys: np.ndarray) -> np.ndarray:
    """Whether an entry differs from the one before it in any of the keys; true for the first."""
    differs = np.zeros(len(keys[0]), bool)
    differs[0] = True
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    return differs


def _histogram(group: np.ndarray, values: np.ndarray, vital: str, groups: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Steps and how often each was measured, both flat, and where each group's begin (one more entry at the end)."""
    steps = in_steps(values, vital)
    order = np.lexsort((steps, group))
    group, steps = group[order], steps[order]
    first = np.flatnonzero(_changes(group, steps))
    often = np.diff(np.r_[first, len(steps)])
    ends = np.searchsorted(group[first], np.arange(groups + 1))
    return pa.array(steps[first], pa.int32()), pa.array(often, pa.int32()), pa.array(ends, pa.int32())


def in_steps(values: np.ndarray, vital: str) -> np.ndarray:
    """Values as whole numbers of the vital's resolution; halves to the even one."""
    steps: np.ndarray = np.rint(values / resolution(vital)).astype(np.int64)
    return steps


def _devices(group: np.ndarray, devices: pa.Array, groups: int) -> tuple[pa.Array, pa.Array]:
    """The names of the devices of each group in order, flat, and where each group's begin."""
    coded = devices.dictionary_encode()
    order = pc.array_sort_indices(coded.dictionary)
    rank = np.argsort(order.to_numpy())
    pairs = np.unique(np.stack([group, rank[coded.indices.to_numpy()]]), axis=1)
    ends = np.searchsorted(pairs[0], np.arange(groups + 1))
    return coded.dictionary.take(order).take(pa.array(pairs[1])), pa.array(ends, pa.int32())


def read_summaries(
    lake: str,
    *,
    organisation: str,
    subject: str,
    vitals: Sequence[str],
    start: datetime,
    end: datetime,
    columns: Sequence[str],
    snapshot: Snapshot | None = None,
) -> pa.Table:
    """Summaries of one person whose quarter begins in [start, end), sorted by vital and quarter."""
    snapshot = snapshot or newest(lake, SUMMARIES)
    files = [
        file
        for month in months(start, end)
        for file in snapshot.partition(organisation, month)
        if holds(file, subject, start, end)
    ]
    found = (
        (pc.field("subject") == subject)
        & pc.field("vital").isin(list(vitals))
        & (pc.field("quarter") >= pa.scalar(start, INSTANT))
        & (pc.field("quarter") < pa.scalar(end, INSTANT))
    )
    wanted = list(dict.fromkeys(["vital", "quarter", *columns]))
    rows = dataset(lake, SUMMARIES, files).to_table(columns=wanted, filter=found)
    return rows.sort_by([("vital", "ascending"), ("quarter", "ascending")]).select(list(columns))


def months(start: datetime, end: datetime) -> list[date]:
    """The first days of the UTC months that [start, end) touches."""
    month = start.astimezone(UTC).date().replace(day=1)
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()
    found = []
    while month <= last:
        found.append(month)
        month = (month + timedelta(days=31)).replace(day=1)
    return found


def touching(snapshot: Snapshot, organisation: str, start: datetime, end: datetime) -> list[File]:
    """Files of summaries that hold something of [start, end), which lies within one month."""
    (month,) = months(start, end)
    return [
        f
        for f in snapshot.partition(organisation, month)
        if f.first is None or f.last is None or (f.first < end and f.last >= start)
    ]
