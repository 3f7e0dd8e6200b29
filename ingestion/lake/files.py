"""Reading and writing the Parquet files of the lake's tables, and the commit that puts some in the place of others."""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from ingestion.lake.storage import to_read, to_write
from ingestion.lake.tables import File, Kind, Snapshot, open_table, snapshot_of, table_url

# Measured on 1,000 people (ADR 0013): who asks for one person decodes a whole group of rows, and parses the footer
# of the whole file, which tells of every group. Both stay small, however many people there are.
FILE_BYTES = 8 << 20  # a file is ended once it is so large
ROW_GROUP = 16_384
ROWS_AT_ONCE = 2_000_000  # what a rewrite holds in memory
LEVEL = 9  # of zstd: what is written here is written once and read for years
_FORMAT = pads.ParquetFileFormat()
_TRIES = 50


class Changed(Exception):
    """The files that a rewrite has read are no longer the table's: begin again."""


@dataclass(frozen=True, slots=True)
class Written:
    """A Parquet file that lies in the table's folder and belongs to the table once it is committed."""

    path: str
    action: AddAction


def dataset(lake: str, kind: Kind, files: Sequence[File]) -> pads.Dataset:
    """The rows of these files, without the partition columns; a column that a file lacks is null."""
    schema = pa.schema([field for field in kind.schema if field.name not in kind.partition_by])
    source = to_read(table_url(lake, kind))
    fragments = [_FORMAT.make_fragment(file.path, source) for file in files]
    return pads.FileSystemDataset(fragments, schema, _FORMAT, source)


def subject_ranges(rows: int, at_once: int = 0) -> list[pc.Expression]:
    """Conditions that cut rows into ranges of subjects, which are random, of about `at_once` (ROWS_AT_ONCE) each, in
    order."""
    pieces = max(-(-rows // (at_once or ROWS_AT_ONCE)), 1)
    bounds = [f"{n * 0x100000000 // pieces:08x}" for n in range(1, pieces)]
    ranges = []
    for low, high in zip([None, *bounds], [*bounds, None], strict=True):
        wanted = pc.scalar(True) if low is None else pc.field("subject") >= low
        ranges.append(wanted if high is None else wanted & (pc.field("subject") < high))
    return ranges


def write(
    lake: str,
    kind: Kind,
    organisation: str,
    span: date,
    parts: Iterable[pa.Table],
    encodings: dict[str, str],
    level: int = 0,
) -> list[Written]:
    """Write sorted rows to as few files as FILE_BYTES allows, at this level of zstd (LEVEL); nothing of them is in the
    table yet.

    `parts` are of the table's schema without its partition columns, in order, and only one is held at a time. A day
    that is a single part leaves out the columns that hold nothing: they would be most of a small file. On an error what
    was written is removed, as far as that is possible.
    """
    target = to_write(table_url(lake, kind))
    written: list[Written] = []
    waiting = (part for part in parts if part.num_rows)
    part, following = next(waiting, None), next(waiting, None)
    try:
        while part is not None:
            alone = following is None and not written
            names = [n for n in part.column_names if not alone or part[n].null_count < part.num_rows]
            file = _Open(target, kind, organisation, span, part.select(names).schema, encodings, level or LEVEL)
            written.append(file.written)
            with file:
                while part is not None and file.size < FILE_BYTES:
                    file.add(part)
                    part, following = following, next(waiting, None)
    except BaseException:
        discard(lake, kind, written)
        raise
    return written


class _Open:
    """A Parquet file being written; once it is closed, `written` tells the log of it."""

    def __init__(
        self,
        target: pafs.FileSystem,
        kind: Kind,
        organisation: str,
        span: date,
        schema: pa.Schema,
        encodings: dict[str, str],
        level: int,
    ) -> None:
        partition = {"organisation": organisation, kind.span: span.isoformat()}
        folder = "/".join(f"{name}={quote(value, safe='')}" for name, value in partition.items())
        path = f"{folder}/part-{uuid.uuid4().hex}.zstd.parquet"
        target.create_dir(folder, recursive=True)
        self._target, self._schema = target, schema.remove_metadata()
        self._statistics = {n: _Range() for n in kind.statistics if n in schema.names}
        self._rows = 0
        self._sink = target.open_output_stream(path)
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression="zstd",
            compression_level=level,
            use_dictionary=[n for n in _leaves(schema) if n not in encodings],
            column_encoding={n: e for n, e in encodings.items() if n in schema.names},
            write_statistics=list(self._statistics),
            store_schema=False,
        )
        now = int(datetime.now().timestamp() * 1000)
        self.written = Written(path, AddAction(path, 0, partition, now, True, ""))

    @property
    def size(self) -> int:
        return int(self._sink.tell())

    def add(self, part: pa.Table) -> None:
        part = part.select(self._schema.names).cast(self._schema)
        self._writer.write_table(part, row_group_size=ROW_GROUP)
        self._rows += part.num_rows
        for name, seen in self._statistics.items():
            seen.add(part[name])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # the rest of the file will not come
            with suppress(Exception):
                self._sink.close()
            return
        self._writer.close()
        self.written.action.size = self.size
        self._sink.close()
        self.written.action.stats = self._as_json()

    def _as_json(self) -> str:
        """Per-file statistics as https://github.com/delta-io/delta/blob/master/PROTOCOL.md says."""
        known = {n: s for n, s in self._statistics.items() if s.low is not None}
        return json.dumps(
            {
                "numRecords": self._rows,
                "minValues": {n: _as_text(s.low) for n, s in known.items()},
                "maxValues": {n: _as_text(s.high) for n, s in known.items()},
                "nullCount": {n: s.nulls for n, s in self._statistics.items()},
            }
        )


class _Range:
    """The extremes of a column, part by part."""

    def __init__(self) -> None:
        self.low: Any = None
        self.high: Any = None
        self.nulls = 0

    def add(self, column: pa.ChunkedArray) -> None:
        extremes = pc.min_max(column).as_py()
        self.nulls += column.null_count
        if extremes["min"] is not None:
            self.low = extremes["min"] if self.low is None else min(self.low, extremes["min"])
            self.high = extremes["max"] if self.high is None else max(self.high, extremes["max"])


def _leaves(schema: pa.Schema) -> list[str]:
    """The names by which Parquet knows the columns: of a list, those of its items."""
    return [f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in schema]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def discard(lake: str, kind: Kind, written: Iterable[Written]) -> None:
    """Remove files that no commit names. What stays behind is removed by vacuum."""
    target = to_write(table_url(lake, kind))
    for one in written:
        with suppress(OSError):
            target.delete_file(one.path)


def replace(
    lake: str,
    table: DeltaTable,
    kind: Kind,
    *,
    old: Sequence[File],
    new: Sequence[Written],
    still: Callable[[Snapshot], bool],
    why: str,
    marks: Mapping[str, int] | None = None,
    rows_change: bool = True,
) -> None:
    """Put new files in the place of old ones in one commit, beside whatever else happens to the table.

    `table` is the object whose snapshot had the old files. If it was rewritten since, `still` says of a newer snapshot
    whether the new files may still take the place of the old ones. Raises Changed, and commits nothing, if not. The
    log's positions of `vitals.admitted` stay as they are; `marks` are noted beside them. Without
    `rows_change` the log says that the same rows only lie elsewhere.
    """
    for one in new:
        one.action.data_change = rows_change
    for _ in range(_TRIES):
        try:
            _commit(table, kind, old, new, why, marks or {}, rows_change)
            return
        except CommitFailedError:  # somebody rewrote something meanwhile, perhaps something else
            table = open_table(lake, kind)
        now = snapshot_of(table, kind)
        if new and all(one.path in now.paths for one in new):  # a commit that went through, though its answer was lost
            return
        if not still(now):
            break
    discard(lake, kind, new)
    raise Changed(why)


def _commit(
    table: DeltaTable,
    kind: Kind,
    old: Sequence[File],
    new: Sequence[Written],
    why: str,
    marks: Mapping[str, int],
    rows_change: bool,
) -> None:
    # Two rewrites of one organisation never go through the same snapshot, even if both only add files.
    organisations = {f.organisation for f in old} | {str(n.action.partition_values["organisation"]) for n in new}
    fence = [Transaction(f"rewrite/{organisation}", table.version() + 1) for organisation in sorted(organisations)]
    noted = [Transaction(name, number) for name, number in marks.items()]
    now = int(datetime.now().timestamp() * 1000)
    removals = [
        RemoveAction(
            path=file.path,
            deletion_timestamp=now,
            data_change=rows_change,
            size=file.size,
            partition_values={"organisation": file.organisation, kind.span: file.span.isoformat()},
        )
        for file in old
    ]
    table.create_write_transaction(
        [*removals, *(one.action for one in new)],
        mode="append",
        schema=kind.schema,
        partition_by=kind.partition_by,
        commit_properties=CommitProperties(
            custom_metadata={"wellrange": why}, app_transactions=[*fence, *noted], max_commit_retries=20
        ),
    )
