"""SQL on the lake with DuckDB: the same views and the same text as on Athena, without a second store.

The tables are read where they lie, through pyarrow, so no extension is fetched. A query for some devices reads the
files and row groups of the people who wore them, and no others: DuckDB says which filters it hands to the scan, and a
lookup of the caller's says whose readings those devices can be. Where a query does not say which devices, nothing is
pruned by person, and the answer is the same.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from ingestion.lake.files import dataset
from ingestion.lake.schema import INSTANT, TABLE_SCHEMA
from ingestion.lake.tables import READINGS, File, Snapshot, newest

VIEWS = Path(__file__).parent.parent / "infra" / "athena"
CONSENT_SCHEMA = pa.schema(
    [
        pa.field("organisation", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("purpose", pa.string(), nullable=False),
        pa.field("given", pa.bool_(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
    ]
)

_FORMAT = pads.ParquetFileFormat()
_STRING = r"'(?:[^']|'')*'"
_TOKEN = re.compile(rf'\s*("device_id"|{_STRING}|=|IN\b|OR\b|\(|\)|,)')


class BadQuery(ValueError):
    """DuckDB does not take the query; the text is its own."""


@dataclass(frozen=True, slots=True)
class Wearing:
    """A device's readings can be this person's from the first of these times to the last, both included (UTC)."""

    subject: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns and rows; and how many of the table's files could hold an answer, of how many."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    files: int
    files_of: int


DevicesToPeople = Callable[[Iterable[str]], Sequence[Wearing]]


def statements() -> list[tuple[str, str]]:
    """Name and text of everything that Athena needs, in order. `${LAKE_URL}` stands for the lake's address."""
    return [(path.stem, path.read_text()) for path in sorted(VIEWS.glob("*.sql"))]


def named_queries() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted((VIEWS / "queries").glob("*.sql"))}


def run(lake: str, text: str, *, consents: pa.Table, wearing: DevicesToPeople | None = None) -> Answer:
    """Run one query. `consents` has CONSENT_SCHEMA, the state of the ledger now; times come back in UTC.

    `wearing` gives for some devices everybody whose readings they can be; when it is called it must know everything
    that the newest version of the table holds. Raises BadQuery.
    """
    session = Session(lake, consents=consents, wearing=wearing)
    cursor = session.execute(text)
    return Answer(
        [column[0] for column in cursor.description or []],
        cursor.fetchall(),
        session.files,
        len(session.snapshot.files),
    )


class Session:
    """A DuckDB that knows the lake's tables and views and nothing else: no file, no network, no extension."""

    def __init__(self, lake: str, *, consents: pa.Table, wearing: DevicesToPeople | None = None) -> None:
        self._lake, self._wearing = lake, wearing
        self.snapshot: Snapshot = newest(lake, READINGS)
        self.files = len(self.snapshot.files)
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            }
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        self._keep("consents", consents.cast(CONSENT_SCHEMA))
        self._keep("open_days", _open_days(self.snapshot))
        self._connection.register("readings", readings_of(lake, self.snapshot.files))
        for name, view in statements():
            if "CREATE OR REPLACE VIEW" in view and not name.endswith("open_days"):
                self._connection.execute(view)
        self._connection.execute("SET enable_external_access = false; SET lock_configuration = true")

    def _keep(self, name: str, rows: pa.Table) -> None:
        """A small table inside DuckDB, so that every scan of Arrow data is one of readings."""
        self._connection.register("incoming", rows)
        self._connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608 a name of ours
        self._connection.unregister("incoming")

    def execute(self, text: str) -> duckdb.DuckDBPyConnection:
        """Run a query on no more files than can hold its answer. Raises BadQuery."""
        try:
            self._narrow(text)
            return self._connection.execute(text)
        except duckdb.Error as error:
            raise BadQuery(str(error)) from None

    def table(self, text: str) -> pa.Table:
        """The same, as an Arrow table."""
        try:
            self._narrow(text)
            return self._connection.sql(text).to_arrow_table()
        except duckdb.Error as error:
            raise BadQuery(str(error)) from None

    def _narrow(self, text: str) -> None:
        if self._wearing is None or (devices := self._devices(text)) is None:
            return
        people = self._wearing(devices)
        files = [file for file in self.snapshot.files if _may_hold(file, people)]
        data = readings_of(self._lake, files)
        if people:
            data = data.filter(pc.field("subject").isin(sorted({one.subject for one in people})))
        self.files = len(files)
        self._connection.unregister("readings")
        self._connection.register("readings", data)

    def _devices(self, text: str) -> set[str] | None:
        """The devices that every scan of readings is limited to, or None if one is not."""
        plan = self._connection.execute("EXPLAIN (FORMAT json) " + text.strip().rstrip(";")).fetchall()
        found: set[str] = set()
        scans = list(_scans(json.loads(plan[0][1])))
        for filters in scans:
            named = next((d for text in filters if (d := devices_in(text)) is not None), None)
            if named is None:
                return None
            found |= named
        return found if scans else None


def devices_in(condition: str) -> set[str] | None:
    """The devices a filter admits, if it admits by device alone: `("device_id" = 'a')`, IN, or several joined by OR."""
    devices, place = set(), 0
    while place < len(condition.rstrip()):
        token = _TOKEN.match(condition, place)
        if token is None:
            return None
        if token[1].startswith("'"):
            devices.add(token[1][1:-1].replace("''", "'"))
        place = token.end()
    return devices or None


def _scans(nodes: list[dict[str, Any]]) -> Iterator[list[str]]:
    """The filters of each scan of Arrow data in a plan."""
    for node in nodes:
        if "ARROW_SCAN" in node.get("name", ""):
            filters = node.get("extra_info", {}).get("Filters", [])
            yield [filters] if isinstance(filters, str) else list(filters)
        yield from _scans(node.get("children", []))


def _may_hold(file: File, people: Sequence[Wearing]) -> bool:
    if file.lowest is None or file.highest is None or file.first is None or file.last is None:
        return True
    return any(
        file.lowest <= one.subject <= file.highest and file.first <= one.last and one.first <= file.last
        for one in people
    )


def readings_of(lake: str, files: Sequence[File]) -> pads.Dataset:
    """The rows of these files with all columns of the table. What the log says of each file prunes by itself."""
    plain = dataset(lake, READINGS, files)
    fragments = [
        _FORMAT.make_fragment(fragment.path, fragment.filesystem, partition_expression=_known(file))
        for fragment, file in zip(plain.get_fragments(), files, strict=True)
    ]
    return pads.FileSystemDataset(fragments, TABLE_SCHEMA, _FORMAT, plain.filesystem)


def _known(file: File) -> pc.Expression:
    known = (pc.field("organisation") == pc.scalar(file.organisation)) & (pc.field("day") == pc.scalar(file.span))
    for name, low, high, kind in (
        ("subject", file.lowest, file.highest, pa.string()),
        ("measured_at", file.first, file.last, INSTANT),
    ):
        if low is not None and high is not None:
            known &= (pc.field(name) >= pa.scalar(low, kind)) & (pc.field(name) <= pa.scalar(high, kind))
    return known


def _open_days(snapshot: Snapshot) -> pa.Table:
    """Days with files that are not sealed, as the log says it: what the view of that name finds by reading."""
    days = sorted({(file.organisation, file.span) for file in snapshot.files if not file.sealed})
    return pa.table(
        {
            "organisation": pa.array([organisation for organisation, _ in days], pa.string()),
            "day": pa.array([day for _, day in days], pa.date32()),
        }
    )
