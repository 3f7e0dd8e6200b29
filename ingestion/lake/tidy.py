"""Keeping the lake's files few and the log short, beside appending, which none of this holds up.

A day's files are kept to FILES_AT_MOST of a size: more are merged to one, sorted by person so that one person's chart
reads little of it. Sizes are RUN rows, and eight times as many, and so on, so that a row is written few times however
large the day, and a merge holds RUN rows at once. That goes for what comes late for an ended day, too: a phone that
syncs a week adds a file to each of its days, and whoever opens the table holds a line for each. A file that has reached
`files.FILE_BYTES` stays as it is. A month of summaries is files of that size that share the people out, and DAYS_APART
of one day each over them. Files that a rewrite has replaced, or that a killed task left behind, are removed after
KEPT.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate

import pyarrow as pa

from ingestion.lake.files import FILE_BYTES, Changed, dataset, replace, subject_ranges, write
from ingestion.lake.seal import IN_ORDER, READING_ENCODINGS, SUMMARY_ENCODINGS
from ingestion.lake.summaries import SORTED
from ingestion.lake.tables import READINGS, SUMMARIES, File, Kind, Snapshot, newest, open_table, snapshot_of

log = logging.getLogger(__name__)

FILES_AT_MOST = 8
LAST = chr(0x10FFFF)  # behind every name
RUN = 250_000
DAYS_APART = 10
KEPT = timedelta(days=1)
# In which order, how, and with how much care (the level of zstd, 0 for that of sealing)
# a merged file is written: sealing writes a day again.
_WRITTEN = {READINGS.name: (IN_ORDER, READING_ENCODINGS, 3), SUMMARIES.name: (SORTED, SUMMARY_ENCODINGS, 0)}


@dataclass(frozen=True, slots=True)
class Tidied:
    """Days and months whose files were made fewer."""

    days: int
    months: int


def tidy(lake: str, *, now: datetime) -> Tidied:
    """Make the small files of days few, and those of months of summaries."""
    return Tidied(_tidy_readings(lake, now), _tidy_summaries(lake, now))


def _tidy_readings(lake: str, now: datetime) -> int:
    tidied = 0
    snapshot = newest(lake, READINGS)
    for (organisation, day), files in snapshot.by_partition.items():
        ended = day < now.astimezone(UTC).date()
        if ended and not snapshot.is_whole(organisation, day):
            continue  # what comes late for the archive waits for it as it is
        for many in _of_a_size(files):
            try:
                # What waits to be sealed has waited for as long as the oldest of it.
                _merge(lake, READINGS, organisation, day, many, added=min(f.added for f in many) if ended else now)
                tidied += 1
            except (Changed, FileNotFoundError):
                log.info("day %s of %s was rewritten by another task meanwhile", day, organisation)
    return tidied


def _of_a_size(files: Sequence[File]) -> Iterator[list[File]]:
    """Unsealed files of a day of which there are too many of a size."""
    sizes: dict[int, list[File]] = {}
    for file in files:
        if not file.sealed and file.size < FILE_BYTES:
            sizes.setdefault(((file.rows // RUN).bit_length() + 2) // 3, []).append(file)
    return (some for some in sizes.values() if len(some) > FILES_AT_MOST)


def _tidy_summaries(lake: str, now: datetime) -> int:
    tidied = 0
    this_month = now.astimezone(UTC).date().replace(day=1)
    for (organisation, month), files in newest(lake, SUMMARIES).by_partition.items():
        quiet = max(f.added for f in files) <= now - KEPT
        deep = _deep(files)
        if deep > DAYS_APART + 1 or (deep > 1 and month < this_month and quiet):
            try:
                _merge(lake, SUMMARIES, organisation, month, files, added=now)
                tidied += 1
            except (Changed, FileNotFoundError):
                log.info("summaries of %s for %s were changed meanwhile", organisation, month)
    return tidied


def _deep(files: Sequence[File]) -> int:
    """In how many files at most the rows of one person lie: those that one rewrite made share the people out."""
    begins = [(file.lowest or "", 1) for file in files]
    ends = [(file.highest or LAST, -1) for file in files]
    # At the same name a file begins before another ends: both hold this person.
    return max(accumulate(by for _, by in sorted(begins + ends, key=lambda edge: (edge[0], -edge[1]))), default=0)


def _merge(lake: str, kind: Kind, organisation: str, span: date, files: list[File], *, added: datetime) -> None:
    """Make one file of these, or few, sorted; unless one of them is gone, or summaries came beside them."""
    table = open_table(lake, kind)
    before = {file.path for file in files}

    def still(now: Snapshot) -> bool:
        there = {f.path for f in now.partition(organisation, span)}
        return before == there if kind is SUMMARIES else before <= there

    if not still(snapshot_of(table, kind)):
        raise Changed(f"{span} of {organisation}")
    order, encodings, level = _WRITTEN[kind.name]
    new = write(lake, kind, organisation, span, _sorted(lake, kind, files, order), encodings, level)
    for one in new:
        one.action.modification_time = int(added.timestamp() * 1000)
    why = f"merged {span} of {organisation}"
    replace(lake, table, kind, old=files, new=new, still=still, why=why, rows_change=False)


def _sorted(lake: str, kind: Kind, files: list[File], order: list[tuple[str, str]]) -> Iterator[pa.Table]:
    source = dataset(lake, kind, files)
    for wanted in subject_ranges(sum(f.rows for f in files), RUN):
        yield source.to_table(filter=wanted).sort_by(order)


def keep_house(lake: str, *, now: datetime, summaries_kept: timedelta, kept: timedelta = KEPT) -> int:
    """Checkpoint both tables, shorten their logs, drop summaries older than they are kept, and remove files that no
    version of the last `kept` names. Returns how many files were removed."""
    oldest = (now - summaries_kept).astimezone(UTC).date().replace(day=1)
    for (organisation, month), files in newest(lake, SUMMARIES).by_partition.items():
        if month < oldest:
            before = {file.path for file in files}
            replace(
                lake,
                open_table(lake, SUMMARIES),
                SUMMARIES,
                old=files,
                new=[],
                still=lambda s, b=before: b <= s.paths,  # type: ignore[misc]
                why=f"{month:%Y-%m} of {organisation} is older than summaries are kept",
            )
    removed = 0
    for kind in (READINGS, SUMMARIES):
        table = open_table(lake, kind)
        table.create_checkpoint()
        table.cleanup_metadata()
        hours = int(kept.total_seconds() // 3600)
        removed += len(table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True))
    return removed
