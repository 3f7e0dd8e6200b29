"""Keeping the lake's files few and the log short, beside appending, which none of this holds up.

The current day is kept at no more than FILES_AT_MOST files at each turn, sorted by person so that one person's chart
reads little of them. A month of summaries is one file of at most `files.FILE_BYTES`, and DAYS_APART of one day each
beside it. Files that a rewrite has replaced, or that a killed task left behind, are removed after KEPT.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from deltalake import WriterProperties
from deltalake.exceptions import CommitFailedError

from ingestion.lake.files import FILE_BYTES, ROW_GROUP, Changed, dataset, replace, subject_ranges, write
from ingestion.lake.seal import SUMMARY_ENCODINGS
from ingestion.lake.summaries import ROW_SCHEMA, SORTED
from ingestion.lake.tables import READINGS, SUMMARIES, File, newest, open_table, snapshot_of

log = logging.getLogger(__name__)

FILES_AT_MOST = 8
SORTED_AT_MOST = 5_000_000  # rows of a day that are sorted anew at each turn; a larger day is only made fewer files
DAYS_APART = 10
KEPT = timedelta(days=1)
_WRITER = WriterProperties(compression="ZSTD", compression_level=3, max_row_group_size=ROW_GROUP)


@dataclass(frozen=True, slots=True)
class Tidied:
    """Days and months whose files were made fewer."""

    days: int
    months: int


def tidy(lake: str, *, now: datetime) -> Tidied:
    """Make the files of days that have not ended, and of months of summaries, few. Ended days are left to sealing."""
    return Tidied(_tidy_readings(lake, now), _tidy_summaries(lake, now))


def _tidy_readings(lake: str, now: datetime) -> int:
    tidied = 0
    for (organisation, day), files in newest(lake, READINGS).by_partition.items():
        if len(files) <= FILES_AT_MOST or day < now.astimezone(UTC).date():
            continue
        table = open_table(lake, READINGS)
        where = [("organisation", "=", organisation), ("day", "=", day.isoformat())]
        try:
            if sum(f.rows for f in files) <= SORTED_AT_MOST:
                table.optimize.z_order(["subject"], where, target_size=FILE_BYTES, writer_properties=_WRITER)
            else:
                table.optimize.compact(where, target_size=FILE_BYTES, writer_properties=_WRITER)
            tidied += 1
        except CommitFailedError:
            log.info("day %s of %s was rewritten by another task meanwhile", day, organisation)
    return tidied


def _tidy_summaries(lake: str, now: datetime) -> int:
    tidied = 0
    this_month = now.astimezone(UTC).date().replace(day=1)
    for (organisation, month), files in newest(lake, SUMMARIES).by_partition.items():
        quiet = max(f.added for f in files) <= now - KEPT
        if len(files) > DAYS_APART + 1 or (len(files) > 1 and month < this_month and quiet):
            try:
                _merge_month(lake, organisation, month, files)
                tidied += 1
            except (Changed, FileNotFoundError):
                log.info("summaries of %s for %s were changed meanwhile", organisation, month)
    return tidied


def _merge_month(lake: str, organisation: str, month: date, files: list[File]) -> None:
    table = open_table(lake, SUMMARIES)
    before = {file.path for file in files}
    if {f.path for f in snapshot_of(table, SUMMARIES).partition(organisation, month)} != before:
        raise Changed(f"{month:%Y-%m} of {organisation}")
    new = write(lake, SUMMARIES, organisation, month, _sorted(lake, files), SUMMARY_ENCODINGS)
    replace(
        lake,
        table,
        SUMMARIES,
        old=files,
        new=new,
        still=lambda s: {f.path for f in s.partition(organisation, month)} == before,
        why=f"merged {month:%Y-%m} of {organisation}",
    )


def _sorted(lake: str, files: list[File]) -> Iterator[pa.Table]:
    source = dataset(lake, SUMMARIES, files)
    for wanted in subject_ranges(sum(f.rows for f in files)):
        yield source.to_table(columns=ROW_SCHEMA.names, filter=wanted).sort_by(SORTED)


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
