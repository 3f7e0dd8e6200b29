"""Appending readings exactly once: rows and new positions are one commit."""

from collections.abc import Mapping

import pyarrow as pa
from deltalake import ColumnProperties, CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from ingestion.lake.files import ROW_GROUP
from ingestion.lake.schema import READING_SCHEMA, with_day
from ingestion.lake.tables import reopen

_RISING = ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
_WRITER = WriterProperties(
    max_row_group_size=ROW_GROUP,
    compression="ZSTD",
    compression_level=1,  # sealing writes it again, with care
    write_batch_size=8192,
    column_properties=dict.fromkeys(("measured_at", "received_at", "consent_sequence", "source_offset"), _RISING),
)
_TRIES = 10


class LakeMoved(Exception):
    """The table is not where this task believed it to be: another task has written. Drop the rows and end."""


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
    again would write rows twice. A commit refused because files were rewritten meanwhile (a day was sealed) is tried
    through a newer snapshot, but only one that is still at `begin`. `gaps` says how many offsets of a partition
    retention has removed unread: the commit keeps the record of it.
    """
    ready = with_day(rows if rows is not None else READING_SCHEMA.empty_table())
    for turn in range(_TRIES):
        for partition, first in begin.items():
            if (position(table, topic_id, partition) or 0) != first:
                raise LakeMoved(f"partition {partition} of the table is not at offset {first}")
        try:
            write_deltalake(
                table,
                ready,
                mode="append",
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(application_id(topic_id, p), end[p]) for p in sorted(end)],
                    custom_metadata={f"gap.{topic_id}.{p}": str(n) for p, n in (gaps or {}).items()},
                    max_commit_retries=20,
                ),
                writer_properties=_WRITER,
            )
            return
        except CommitFailedError as error:
            if "oncurrent transaction failed" in str(error) or turn == _TRIES - 1:
                raise LakeMoved(str(error)) from error
            table = reopen(table)
