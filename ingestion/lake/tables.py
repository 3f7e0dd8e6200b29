"""The lake's two Delta tables, and which files each holds."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import Schema

from ingestion.lake.schema import INSTANT, TABLE_SCHEMA
from ingestion.lake.storage import storage_options
from ingestion.quarters import Quarter

KEPT_AT_LEAST = timedelta(days=180)  # since a quarter's last day, before its readings leave the table for the archive
SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("organisation", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("vital", pa.string(), nullable=False),
        pa.field("quarter", INSTANT, nullable=False),  # the quarter of an hour that begins here
        pa.field("count", pa.int32(), nullable=False),
        pa.field("total", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("minutes", pa.int8(), nullable=False),  # minutes with a reading, 1 to 15
        pa.field("steps", pa.list_(pa.int32()), nullable=False),  # histogram: values in steps of the vital's resolution
        pa.field("times", pa.list_(pa.int32()), nullable=False),  # histogram: how often each was measured
        pa.field("devices", pa.list_(pa.string()), nullable=False),
        pa.field("month", pa.date32(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the lake's tables. `clock` is the column of its time; `span` the partition column, a date."""

    name: str
    schema: pa.Schema
    clock: str
    span: str
    statistics: tuple[str, ...]  # for what queries prune by; the log would otherwise hold the range of every column

    @property
    def partition_by(self) -> list[str]:
        return ["organisation", self.span]

    @property
    def configuration(self) -> dict[str, str | None]:
        return {
            "delta.dataSkippingStatsColumns": ",".join(self.statistics),
            "delta.logRetentionDuration": "interval 7 days",
            "delta.checkpointInterval": "100",
            # A checkpoint also lists what was replaced; with a week of it nearly all of a checkpoint was that.
            "delta.deletedFileRetentionDuration": "interval 1 days",
        }


READINGS = Kind("readings", TABLE_SCHEMA, "measured_at", "day", ("subject", "measured_at", "received_at", "sealed_at"))
SUMMARIES = Kind("summaries_quarter", SUMMARY_SCHEMA, "quarter", "month", ("subject", "quarter"))


def table_url(lake: str, kind: Kind) -> str:
    return f"{lake.rstrip('/')}/{kind.name}"


def readings_url(lake: str) -> str:
    return table_url(lake, READINGS)


def open_table(lake: str, kind: Kind) -> DeltaTable:
    """The table at its newest version, made if it is not there, and given columns that it lacks."""
    url = table_url(lake, kind)
    try:
        table = DeltaTable(url, storage_options=storage_options(url))
    except TableNotFoundError:
        return DeltaTable.create(
            url,
            schema=kind.schema,
            mode="ignore",
            partition_by=kind.partition_by,
            name=kind.name,
            configuration=kind.configuration,
            storage_options=storage_options(url),
        )
    _upgrade(table, kind)
    return table


def open_readings(lake: str) -> DeltaTable:
    """The table `readings` at its newest version, made if it is not there."""
    return open_table(lake, READINGS)


def reopen(table: DeltaTable) -> DeltaTable:
    """The same table at its newest version, as another object."""
    return DeltaTable(table.table_uri, storage_options=storage_options(table.table_uri))


def _upgrade(table: DeltaTable, kind: Kind) -> None:
    """A table that an older version made gets the columns that have come since."""
    there = {field.name for field in table.schema().fields}
    missing = [field for field in Schema.from_arrow(kind.schema).fields if field.name not in there]
    if missing:
        table.alter.add_columns(missing)
        table.alter.set_table_properties({k: str(v) for k, v in kind.configuration.items()})


@dataclass(frozen=True, slots=True)
class File:
    """One Parquet file of a table, as the table's log tells it. `first` and `last` are the range of its clock."""

    path: str
    organisation: str
    span: date
    rows: int
    size: int
    added: datetime
    lowest: str | None  # subject
    highest: str | None
    first: datetime | None
    last: datetime | None
    sealed: bool


@dataclass(frozen=True)
class Snapshot:
    """The files of one version of a table. `put_away` are (organisation, day)s whose readings are in the archive: what
    lies here of them came late.
    """

    kind: Kind
    version: int
    files: Sequence[File]
    put_away: frozenset[tuple[str, date]] = frozenset()

    @cached_property
    def by_partition(self) -> Mapping[tuple[str, date], list[File]]:
        found: dict[tuple[str, date], list[File]] = {}
        for file in self.files:
            found.setdefault((file.organisation, file.span), []).append(file)
        return found

    @cached_property
    def paths(self) -> frozenset[str]:
        return frozenset(file.path for file in self.files)

    def partition(self, organisation: str, span: date) -> list[File]:
        return self.by_partition.get((organisation, span), [])

    def is_whole(self, organisation: str, day: date) -> bool:
        """Whether a day's readings lie in the table: not if there are none, nor if only late ones are left."""
        return (organisation, day) in self.by_partition and (organisation, day) not in self.put_away


def snapshot_of(table: DeltaTable, kind: Kind, before: Snapshot | None = None) -> Snapshot:
    """The files of this table object's version; entries of `before` are used again where a file was there already."""
    actions = pa.table(table.get_add_actions(flatten=True))
    known = {file.path: file for file in before.files} if before else {}
    paths = actions["path"].to_pylist()
    new = [i for i, path in enumerate(paths) if path not in known]
    fresh = dict(zip(new, _files(actions.take(pa.array(new, pa.int64())), kind), strict=True))
    files = [fresh[i] if i in fresh else known[path] for i, path in enumerate(paths)]
    return Snapshot(kind, table.version(), files, _put_away(table, files) if kind is READINGS else frozenset())


def archived_id(organisation: str, quarter: Quarter) -> str:
    """Names a quarter in the table's log, in the commit by which its readings left the table for the archive."""
    return f"archived/{organisation}/{quarter.name}"


def _put_away(table: DeltaTable, files: Sequence[File]) -> frozenset[tuple[str, date]]:
    """The log is asked about what came late for quarters that are old enough, and that is seldom anything."""
    late = {
        (file.organisation, file.span)
        for file in files
        if not file.sealed and file.added.date() - Quarter.of(file.span).last > KEPT_AT_LEAST
    }
    quarters = {(organisation, Quarter.of(day)) for organisation, day in late}
    away = {one for one in quarters if table.transaction_version(archived_id(*one)) is not None}
    return frozenset((organisation, day) for organisation, day in late if (organisation, Quarter.of(day)) in away)


def _files(actions: pa.Table, kind: Kind) -> list[File]:
    nothing: list[Any] = [None] * actions.num_rows

    def column(name: str) -> list[Any]:
        return actions[name].to_pylist() if name in actions.column_names else nothing

    sealed = [n == 0 for n in column("null_count.sealed_at")]
    added = [datetime.fromtimestamp(ms / 1000, UTC) for ms in actions["modification_time"].to_pylist()]
    fields = zip(
        column("path"),
        column("partition.organisation"),
        column(f"partition.{kind.span}"),
        column("num_records"),
        column("size_bytes"),
        added,
        column("min.subject"),
        column("max.subject"),
        column(f"min.{kind.clock}"),
        column(f"max.{kind.clock}"),
        sealed,
        strict=True,
    )
    return [File(*of_one) for of_one in fields]


_known: dict[str, tuple[DeltaTable, Snapshot]] = {}
_knowing = threading.Lock()


def newest(lake: str, kind: Kind) -> Snapshot:
    """The files of the newest version. Opening a table of years takes long, so the process keeps it and only asks
    what has come since."""
    url = table_url(lake, kind)
    with _knowing:
        if found := _known.get(url):
            table, before = found
            try:
                table.update_incremental()
            except DeltaError:  # its log has been cleaned beyond the version that we knew
                table = open_table(lake, kind)
            if table.version() == before.version:
                return before
            now = snapshot_of(table, kind, before)
        else:
            table = open_table(lake, kind)
            now = snapshot_of(table, kind)
        _known[url] = table, now
        return now
