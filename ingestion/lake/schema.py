"""What a reading is in `vitals.admitted` and in the lake, and when two rows are the same reading."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.order import in_order
from ingestion.reading import ARROW_TYPES

INSTANT = pa.timestamp("us", "UTC")

# A reading as it travels in `vitals.admitted` and lies in the lake. Version 1; a change of it needs a new version.
READING_SCHEMA = pa.schema(
    [
        pa.field("organisation", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("measured_at", INSTANT, nullable=False),
        pa.field("offset_minutes", pa.int16(), nullable=False),  # the source's own offset from UTC
        pa.field("received_at", INSTANT, nullable=False),  # Kafka's append time; to the second once sealed
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("record_id", pa.string(), nullable=False),  # the source's own id, or empty if it gave none
        *(pa.field(name, kind) for name, kind in ARROW_TYPES.items()),
        pa.field("dropped", pa.string()),  # values that were not usable, and why
        pa.field("consent_sequence", pa.int64(), nullable=False),  # the ledger entry that allowed it
        pa.field("source_topic", pa.string(), nullable=False),
        pa.field("source_partition", pa.int32(), nullable=False),
        pa.field("source_offset", pa.int64(), nullable=False),
    ],
    metadata={"wellrange.reading": "1"},
)
# Within one person. Where the source gave no record id, the measured values themselves take its place (see `unique`).
NATURAL_KEY = ("device_id", "measured_at", "record_id")

# `sealed_at` is null until the day has been sealed: a day whose files all have it is sorted and holds nothing twice.
TABLE_SCHEMA = pa.schema(
    [
        *READING_SCHEMA,
        pa.field("sealed_at", INSTANT),
        pa.field("day", pa.date32(), nullable=False),
    ]
)
# What `unique` looks at, beside the measured values.
UNIQUE_BY = (*NATURAL_KEY, "received_at", "source_offset", "sealed_at")


def with_day(rows: pa.Table) -> pa.Table:
    """Rows of READING_SCHEMA as rows of the table, not sealed: sorted by (organisation, day, subject, measured_at)."""
    table = rows.append_column(TABLE_SCHEMA.field("sealed_at"), pa.nulls(rows.num_rows, INSTANT)).append_column(
        TABLE_SCHEMA.field("day"), rows["measured_at"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    )
    return in_order(table, ("organisation", "day", "subject", "measured_at"))


def unique(rows: pa.Table) -> pa.Table:
    """Each reading once, sorted by (subject, measured_at), the latest receipt kept.

    `rows` has the columns UNIQUE_BY (but `sealed_at` if nothing is sealed), the vitals that matter (those that are
    missing count as not measured), and `subject` unless all are of one person. Two rows are the same reading if person,
    device, time and record id are; without a record id, if all measured values are, too. A row that came after the day
    was sealed beats one of the sealed day in the same second, since sealed days keep `received_at` to the second.
    """
    people = [name for name in ("subject",) if name in rows.column_names]
    rows = rows.sort_by([(name, "ascending") for name in (*people, "measured_at", "device_id", "record_id")])
    suspects = np.flatnonzero(_suspects(rows, people))
    if len(suspects) == 0:
        return rows
    few = rows.take(pa.array(suspects)).append_column("place", pa.array(suspects))
    named = pc.not_equal(few["record_id"], "")
    for vital, kind in ARROW_TYPES.items():
        if vital in few.column_names:
            values = pc.if_else(named, pa.scalar(None, kind), few[vital])
            few = few.set_column(few.column_names.index(vital), vital, values)
    late = pc.is_null(few["sealed_at"]) if "sealed_at" in few.column_names else pa.array(np.ones(few.num_rows, bool))
    few = (
        few.append_column("second", pc.floor_temporal(few["received_at"], unit="second"))
        .append_column("late", late)
        .sort_by([(name, "ascending") for name in ("second", "late", "received_at", "source_offset")])
    )
    same = [*people, *NATURAL_KEY, *(v for v in ARROW_TYPES if v in few.column_names)]
    last = few.select([*same, "place"]).group_by(same, use_threads=False).aggregate([("place", "last")])["place_last"]
    if len(last) == len(suspects):
        return rows
    keep = np.ones(rows.num_rows, bool)
    keep[suspects] = False
    keep[last.to_numpy()] = True
    return rows.filter(pa.array(keep))


def _suspects(rows: pa.Table, people: list[str]) -> np.ndarray:
    """Rows, sorted, that have the person, device and time of the row before or after."""
    again = np.zeros(rows.num_rows + 1, bool)
    again[1:-1] = True
    times = rows["measured_at"].cast(pa.int64()).to_numpy()
    again[1:-1] &= times[1:] == times[:-1]
    for name in ("device_id", *people):
        if again.any():
            codes = rows[name].combine_chunks().dictionary_encode().indices.to_numpy()
            again[1:-1] &= codes[1:] == codes[:-1]
    return again[1:] | again[:-1]
