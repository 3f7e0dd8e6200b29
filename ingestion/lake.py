"""The lake: the Delta table `readings`, the record of every measurement.

One row per admitted packet, partitioned by (organisation, day of measurement in UTC). The table's own log holds how far
each partition of `vitals.admitted` has been written: rows and position are one commit, which makes appending exact.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import ColumnProperties, CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import TableNotFoundError

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
        pa.field("received_at", INSTANT, nullable=False),  # Kafka's append time
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("record_id", pa.string(), nullable=False),
        *(pa.field(name, kind) for name, kind in ARROW_TYPES.items()),
        pa.field("dropped", pa.string()),  # values that were not usable, and why
        pa.field("consent_sequence", pa.int64(), nullable=False),  # the ledger entry that allowed it
        pa.field("source_topic", pa.string(), nullable=False),
        pa.field("source_partition", pa.int32(), nullable=False),
        pa.field("source_offset", pa.int64(), nullable=False),
    ],
    metadata={"wellrange.reading": "1"},
)
NATURAL_KEY = ("device_id", "measured_at", "record_id")

TABLE_SCHEMA = pa.schema([*READING_SCHEMA, pa.field("day", pa.date32(), nullable=False)])
_CONFIGURATION = {
    # Statistics for what queries prune by; the log would otherwise hold the range of every vital of every file.
    "delta.dataSkippingStatsColumns": "subject,measured_at,received_at",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.checkpointInterval": "100",
}
_EACH_ITS_OWN = ColumnProperties(dictionary_enabled=False)  # nearly no two rows have the same
_RISING = ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
_WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    column_properties={
        "record_id": _EACH_ITS_OWN,
        **dict.fromkeys(("measured_at", "received_at", "consent_sequence", "source_offset"), _RISING),
    },
)


class LakeMoved(Exception):
    """The table is not where this task believed it to be: another task has written. Drop the rows and end."""


def storage_options(url: str) -> dict[str, str]:
    """Options for the object store behind `url`; credentials come from the environment as for any AWS client."""
    if not url.startswith("s3://"):
        return {}
    options = {"aws_conditional_put": "etag"}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        options |= {"aws_endpoint": endpoint, "aws_allow_http": str(endpoint.startswith("http://")).lower()}
    return options


def readings_url(lake: str) -> str:
    return lake.rstrip("/") + "/readings"


def open_readings(lake: str) -> DeltaTable:
    """The table `readings` at its newest version, made if it is not there."""
    url = readings_url(lake)
    try:
        return DeltaTable(url, storage_options=storage_options(url))
    except TableNotFoundError:
        return DeltaTable.create(
            url,
            schema=TABLE_SCHEMA,
            mode="ignore",
            partition_by=["organisation", "day"],
            name="readings",
            configuration=_CONFIGURATION,
            storage_options=storage_options(url),
        )


def application_id(topic_id: str, partition: int) -> str:
    """Names a partition in the table's log. A topic made anew has another id, and so starts anew."""
    return f"{topic_id}-{partition}"


def position(table: DeltaTable, topic_id: str, partition: int) -> int | None:
    """The next offset that this table snapshot has not written, or None if it has written nothing."""
    version: int | None = table.transaction_version(application_id(topic_id, partition))
    return version


def append(
    table: DeltaTable,
    rows: pa.Table | None,
    *,
    topic_id: str,
    begin: Mapping[int, int],
    end: Mapping[int, int],
    gaps: Mapping[int, int] | None = None,
) -> None:
    """Append rows and the new positions in one commit, through the very snapshot the rows were read for.

    `begin` and `end` are the positions per partition before and after the rows. Raises LakeMoved, and writes nothing,
    if the snapshot is not at `begin` or somebody else has committed the same partitions since: refreshing and trying
    again would write rows twice. `gaps` says how many offsets of a partition retention has removed unread: the commit
    keeps the record of it.
    """
    for partition, first in begin.items():
        if (position(table, topic_id, partition) or 0) != first:
            raise LakeMoved(f"partition {partition} of the table is not at offset {first}")
    commit = CommitProperties(
        app_transactions=[Transaction(application_id(topic_id, p), end[p]) for p in sorted(end)],
        custom_metadata={f"gap.{topic_id}.{p}": str(n) for p, n in (gaps or {}).items()},
        max_commit_retries=20,
    )
    try:
        write_deltalake(
            table,
            with_day(rows if rows is not None else READING_SCHEMA.empty_table()),
            mode="append",
            commit_properties=commit,
            writer_properties=_WRITER,
        )
    except Exception as error:
        if "oncurrent transaction" in str(error):
            raise LakeMoved(str(error)) from error
        raise


def with_day(rows: pa.Table) -> pa.Table:
    """Add the partition column, and sort by (organisation, day, subject, measured_at) so that files prune well."""
    table = rows.append_column(
        TABLE_SCHEMA.field("day"), rows["measured_at"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    )
    return in_order(table, ("organisation", "day", "subject", "measured_at"))


def read(
    lake: str,
    *,
    organisation: str,
    subject: str,
    start: datetime,
    end: datetime,
    columns: Sequence[str],
) -> pa.Table:
    """Readings of one person with start <= measured_at < end, sorted by time, each natural key once (latest receipt).

    `start` and `end` carry a time zone. Until a day is sealed, doubles from two deliveries may lie in the table.
    """
    needed = list(dict.fromkeys([*NATURAL_KEY, "received_at", *columns]))
    first, last = (str(at.astimezone(UTC).date()) for at in (start, end))  # the days of the lake are UTC's
    dataset = open_readings(lake).to_pyarrow_dataset(
        file_pruning_predicate=[("organisation", "=", organisation), ("day", ">=", first), ("day", "<=", last)]
    )
    found = (
        (pc.field("subject") == subject)
        & (pc.field("measured_at") >= pa.scalar(start, INSTANT))
        & (pc.field("measured_at") < pa.scalar(end, INSTANT))
    )
    return unique(dataset.to_table(columns=needed, filter=found)).select(list(columns))


def unique(rows: pa.Table) -> pa.Table:
    """Each natural key once, the latest receipt kept, sorted by time of measurement."""
    if rows.num_rows == 0:
        return rows
    rows = rows.sort_by([("measured_at", "ascending"), ("received_at", "descending")])
    place = pa.array(np.arange(rows.num_rows))
    first = rows.select(list(NATURAL_KEY)).append_column("place", place)
    kept = first.group_by(list(NATURAL_KEY), use_threads=False).aggregate([("place", "min")])["place_min"]
    return rows if len(kept) == rows.num_rows else rows.take(kept.sort())
