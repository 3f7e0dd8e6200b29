"""Sealing: a day that has ended is rewritten sorted, each reading once, in few files, and summarised.

A day is sealed if all its files say so in their statistics (`sealed_at` has no null). Appending adds files that do not,
so that late rows make a day due again, with no state beside the table. A sealing task reads the day's files in one
snapshot, writes summaries, then puts new files in the place of exactly those it read:

- rows appended meanwhile stay, unsealed, in files of their own: sealing and archiving do not hold each other up;
- of two tasks at once the second finds other files than it read, and begins again, or finds nothing to do;
- a day whose readings are in the archive is left alone: what lies here of it came late, and sealed by itself it would
  take the place of the summaries of all of it. The archive puts it beside the rest;
- summaries are committed before the day is: a kill between leaves the day unsealed, and whoever asks reads its rows;
- a task that slept through another's work cannot put back older summaries: it opened `summaries_quarter` before it read
  the rows, and its commit is refused if the day's summaries have changed since.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from ingestion.lake.files import Changed, dataset, discard, replace, subject_ranges, write
from ingestion.lake.schema import INSTANT, TABLE_SCHEMA, unique
from ingestion.lake.summaries import ROW_SCHEMA, SORTED, summarise, touching
from ingestion.lake.tables import READINGS, SUMMARIES, File, newest, open_table, snapshot_of

log = logging.getLogger(__name__)

QUIET = timedelta(minutes=30)  # a day is sealed once nothing has come for so long,
AT_LATEST = timedelta(hours=6)  # or once its first late row has waited so long
_TRIES = 8
SUMMARIES_AT_ONCE = 250_000  # rows, a fraction of FILE_BYTES
_ROW_SCHEMA = pa.schema([f for f in TABLE_SCHEMA if f.name not in READINGS.partition_by])
IN_ORDER = [(n, "ascending") for n in ("subject", "measured_at", "device_id", "record_id", "source_offset")]
READING_ENCODINGS = dict.fromkeys(("measured_at", "received_at", "source_offset", "sealed_at"), "DELTA_BINARY_PACKED")
SUMMARY_ENCODINGS = {"quarter": "DELTA_BINARY_PACKED"}

Crash = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one sealing did: readings that remained, doubles that were dropped, and the day's files after it."""

    readings: int
    doubles: int
    files: int


def due(lake: str, *, now: datetime, wait: bool = True) -> list[tuple[str, date]]:
    """The (organisation, day)s to be sealed at `now`, the oldest day first: they have ended, hold unsealed files, are
    quiet for QUIET or have waited for AT_LATEST (unless `wait` is false), and are not in the archive."""
    snapshot = newest(lake, READINGS)
    found = []
    for (organisation, day), files in snapshot.by_partition.items():
        waiting = [f.added for f in files if not f.sealed]
        ended = datetime.combine(day + timedelta(days=1), time(), UTC)
        if not waiting or ended > now or not snapshot.is_whole(organisation, day):
            continue
        if not wait or max(waiting) <= now - QUIET or max(min(waiting), ended) <= now - AT_LATEST:
            found.append((organisation, day))
    return sorted(found, key=lambda one: (one[1], one[0]))


def seal(lake: str, organisation: str, day: date, *, now: datetime, crash_point: Crash = lambda _: None) -> Sealed:
    """Seal a day, or do nothing if it is sealed or in the archive. Raises files.Changed if others kept changing it: the
    next run goes on.

    `crash_point` is called with the name of each step that a fault test may end the process at.
    """
    for _ in range(_TRIES):
        summaries, readings = open_table(lake, SUMMARIES), open_table(lake, READINGS)
        snapshot = snapshot_of(readings, READINGS)
        files = snapshot.partition(organisation, day)
        if all(file.sealed for file in files) or not snapshot.is_whole(organisation, day):
            return Sealed(sum(f.rows for f in files), 0, len(files))
        try:
            return _seal(lake, readings, summaries, organisation, day, files, now, crash_point)
        except (Changed, FileNotFoundError):
            log.info("day %s of %s was changed while it was being sealed: again", day, organisation)
    raise Changed(f"day {day} of {organisation} kept changing")


def _seal(
    lake: str,
    readings: DeltaTable,
    summaries: DeltaTable,
    organisation: str,
    day: date,
    files: list[File],
    now: datetime,
    crash_point: Crash,
) -> Sealed:
    made: list[pa.Table] = []
    rows = 0

    def parts() -> Iterator[pa.Table]:
        nonlocal rows
        for part in _read(lake, files):
            rows += part.num_rows
            made.append(summarise(part))
            yield _sealed(part, now)

    new = write(lake, READINGS, organisation, day, parts(), READING_ENCODINGS)
    try:
        crash_point("seal_written")
        start = datetime.combine(day, time(), UTC)
        summaries_replace(
            lake, organisation, start, start + timedelta(days=1), pa.concat_tables(made).sort_by(SORTED), summaries
        )
    except BaseException:
        discard(lake, READINGS, new)
        raise
    crash_point("seal_summarised")
    mine = {file.path for file in files}
    why = f"sealed {day} of {organisation}"
    replace(lake, readings, READINGS, old=files, new=new, still=lambda s: mine <= s.paths, why=why)
    crash_point("seal_committed")
    return Sealed(rows, sum(f.rows for f in files) - rows, len(new))


def _read(lake: str, files: Sequence[File]) -> Iterator[pa.Table]:
    """The rows of these files, each reading once, range by range of their subjects."""
    source = dataset(lake, READINGS, files)
    for wanted in subject_ranges(sum(f.rows for f in files)):
        yield unique(source.to_table(filter=wanted))


def _sealed(rows: pa.Table, now: datetime) -> pa.Table:
    """Rows as they lie in a sealed file: `received_at` to the second, since what is finer is noise that fills disks."""
    rows = rows.sort_by(IN_ORDER)
    columns = {name: rows[name] for name in _ROW_SCHEMA.names}
    columns["received_at"] = pc.floor_temporal(rows["received_at"], unit="second")
    columns["sealed_at"] = pa.array(np.repeat(np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "us"), len(rows)))
    return pa.table([columns[f.name].cast(f.type) for f in _ROW_SCHEMA], schema=_ROW_SCHEMA)


def summaries_replace(
    lake: str, organisation: str, start: datetime, end: datetime, rows: pa.Table, table: DeltaTable
) -> None:
    """Make `rows` the summaries of [start, end), whole days within one month; other quarters stay as they are.

    `table` is `summaries_quarter`, opened before the readings were. Raises Changed if anybody has changed summaries of
    that time since.
    """
    old = touching(snapshot_of(table, SUMMARIES), organisation, start, end)
    month = start.astimezone(UTC).date().replace(day=1)
    new = write(lake, SUMMARIES, organisation, month, _with_others(lake, old, start, end, rows), SUMMARY_ENCODINGS)
    before = {file.path for file in old}
    replace(
        lake,
        table,
        SUMMARIES,
        old=old,
        new=new,
        still=lambda s: {f.path for f in touching(s, organisation, start, end)} == before,
        why=f"summaries of {organisation} from {start:%Y-%m-%d}",
    )


def _with_others(lake: str, old: Sequence[File], start: datetime, end: datetime, rows: pa.Table) -> Iterator[pa.Table]:
    """`rows` and what `old` holds outside [start, end), sorted, range by range of their subjects."""
    if not old:
        for mine in subject_ranges(rows.num_rows, SUMMARIES_AT_ONCE):
            yield rows.filter(mine)
        return
    source = dataset(lake, SUMMARIES, old)
    outside = (pc.field("quarter") < pa.scalar(start, INSTANT)) | (pc.field("quarter") >= pa.scalar(end, INSTANT))
    for mine in subject_ranges(sum(f.rows for f in old), SUMMARIES_AT_ONCE):
        kept = source.to_table(columns=ROW_SCHEMA.names, filter=outside & mine).cast(ROW_SCHEMA)
        yield pa.concat_tables([kept, rows.filter(mine)]).sort_by(SORTED)
