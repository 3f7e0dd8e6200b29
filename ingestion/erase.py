"""Taking one person out of the lake's tables, out of their logs, and out of every file that is still about.

Files that hold the person's rows are written anew without them, file by file, through the same commit as sealing: the
rows of others stay as they are, byte for byte in their values. Then the logs are cut to the present and replaced files
are removed at once. Everything may be done again; what is done already takes no time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from ingestion.cold.store import FOLDER
from ingestion.lake.files import Changed, dataset, replace, subject_ranges, write
from ingestion.lake.storage import is_s3, to_read, to_write
from ingestion.lake.tables import READINGS, SUMMARIES, File, Kind, open_table, snapshot_of, table_url
from ingestion.versions import earlier_versions, versions_forget

KINDS = (READINGS, SUMMARIES)
_TIMES = ("measured_at", "received_at", "source_offset", "sealed_at", "quarter")
YOUNG = timedelta(hours=1)  # a file that no version names may still be about to be committed

Passing = Callable[[str], None]
Noting = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Removed:
    rows: int
    files: int


def rows_remove(
    lake: str,
    kind: Kind,
    organisation: str,
    subject: str,
    *,
    noting: Noting = lambda file, rows: None,
    passing: Passing = lambda place: None,
) -> Removed:
    """Remove a person's rows from a table; how many, from how many files. Raises files.Changed if others kept changing
    a day: call again.

    `noting` is told of each file and its number of rows before it is replaced. A run that was killed in between tells
    of the same file again.
    """
    snapshot = snapshot_of(open_table(lake, kind), kind)
    theirs = pc.field("subject") == subject
    rows = count = 0
    for (of, span), files in sorted(snapshot.by_partition.items()):
        if of != organisation:
            continue
        for file in files:
            if not _may_hold(file, subject):
                continue
            source = dataset(lake, kind, [file])
            found = source.count_rows(filter=theirs)
            if found == 0:
                continue
            noting(file.path, found)
            _rewrite(lake, kind, organisation, span, file, subject, passing)
            rows, count = rows + found, count + 1
    return Removed(rows, count)


def _may_hold(file: File, subject: str) -> bool:
    return file.lowest is None or file.highest is None or file.lowest <= subject <= file.highest


def _rewrite(lake: str, kind: Kind, organisation: str, span: date, file: File, subject: str, passing: Passing) -> None:
    table = open_table(lake, kind)
    if file.path not in snapshot_of(table, kind).paths:
        raise Changed(f"{span} of {organisation}")
    source = dataset(lake, kind, [file])
    encodings = {n: "DELTA_BINARY_PACKED" for n in _TIMES if n in source.schema.names}

    def others() -> Iterator[pa.Table]:
        for wanted in subject_ranges(file.rows):
            yield source.to_table(filter=wanted & (pc.field("subject") != subject))

    new = write(lake, kind, organisation, span, others(), encodings)
    passing("erase_written")
    replace(lake, table, kind, old=[file], new=new, still=lambda s: file.path in s.paths, why="a person was erased")
    passing("erase_committed")


def log_cut(lake: str, kind: Kind) -> int:
    """Forget every version but the present one: its log entries, and the files that only they name. How many files.

    Where the bucket keeps what was deleted, that goes too.

    Only files that the log itself says were replaced are removed, never one that somebody is about to commit. A reader
    that was at an older version finds its files gone and opens the table anew.
    """
    table = open_table(lake, kind)
    removed = table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=False)
    table = open_table(lake, kind)
    table.create_checkpoint()
    log_remove(table_url(lake, kind), table.version())
    versions_forget(table_url(lake, kind))
    return len(removed)


def log_remove(url: str, version: int) -> None:
    """Remove the log entries of a table before `version`, for which there is a checkpoint."""
    files = to_write(url)
    for info in files.get_file_info(pafs.FileSelector("_delta_log", allow_not_found=True)):
        number = info.base_name.split(".")[0]
        if info.is_file and number.isdigit() and int(number) < version:
            files.delete_file(info.path)


def leftovers(lake: str, kind: Kind, now: datetime) -> tuple[list[str], int]:
    """Files in the table's folder that its present version does not name: those older than YOUNG, and how many are not.

    A killed task leaves such files, and they may hold anybody's rows.
    """
    named = snapshot_of(open_table(lake, kind), kind).paths
    old, young = [], 0
    for info in to_write(table_url(lake, kind)).get_file_info(pafs.FileSelector("", recursive=True)):
        if not info.is_file or not info.path.endswith(".parquet") or "_delta_log" in info.path or info.path in named:
            continue
        if info.mtime is not None and now - info.mtime.astimezone(UTC) < YOUNG:
            young += 1
        else:
            old.append(info.path)
    return old, young


def leftovers_remove(lake: str, kind: Kind, now: datetime) -> tuple[int, int]:
    """Remove them; how many were removed, and how many are too young to be."""
    old, young = leftovers(lake, kind, now)
    files = to_write(table_url(lake, kind))
    for path in old:
        files.delete_file(path)
    return len(old), young


def traces(lake: str, subject: str) -> list[str]:
    """Every file of the lake, whatever it is, in which the subject is found: as bytes, or as a value of a column.

    Reads everything, and in a bucket that keeps them, earlier versions too: for the proof after an erasure, and slow on
    a large lake. Objects in an archive class cannot be read; they are named after the one person that they are of.
    """
    needle = subject.encode()
    found = set()
    for path, data in chain(_present(lake), earlier_versions(lake)):
        if needle in path.encode() or needle in data or (path.endswith(".parquet") and data and _holds(data, subject)):
            found.add(path)
    return sorted(found)


def _present(lake: str) -> Iterable[tuple[str, bytes]]:
    files = to_read(lake)
    for info in files.get_file_info(pafs.FileSelector("", recursive=True, allow_not_found=True)):
        if not info.is_file:
            continue
        if is_s3(lake) and info.path.startswith(f"{FOLDER}/"):
            yield info.path, b""
            continue
        with files.open_input_file(info.path) as source:
            yield info.path, source.read()


def _holds(data: bytes, subject: str) -> bool:
    file = pq.ParquetFile(pa.BufferReader(data))
    if "subject" not in file.schema_arrow.names:
        return any(subject in str(batch.to_pydict()) for batch in file.iter_batches())
    return any(
        pc.any(pc.equal(batch["subject"].cast(pa.string()), subject)).as_py()
        for batch in file.iter_batches(columns=["subject"])
    )
