"""Putting old quarters away: objects first, then the rows leave the table. Killed anywhere, the next run goes on.

Each step may be done again: an object is written under the same name with the same bytes, summaries are made of a
version that was noted before, and rows leave the table in one commit. Until that commit the table has the rows; after
it the archive has.
"""

import logging
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from ingestion.cold import Quarter
from ingestion.cold.late import summaries_add, summaries_version
from ingestion.cold.objects import object_key, pack, rows_of
from ingestion.lake import seal
from ingestion.lake.files import Changed, dataset, replace
from ingestion.lake.schema import TABLE_SCHEMA, unique
from ingestion.lake.tables import KEPT_AT_LEAST, READINGS, File, Snapshot, archived_id, newest, open_table, snapshot_of
from portal.archive.cold import cold_store
from portal.archive.models import Batch, Part

log = logging.getLogger(__name__)

# Kafka knows packets for seven days, and `lake_audit` looks for their rows in the table until then.
QUIET = timedelta(days=8)

Passing = Callable[[str], None]


def due(now: datetime) -> list[tuple[str, Quarter]]:
    """The (organisation, quarter)s to be put away at `now`, oldest first, those that were begun before all others."""
    begun = [(b.organisation, b.quarter) for b in Batch.objects.exclude(state=Batch.State.DONE)]
    files: dict[tuple[str, Quarter], list[File]] = {}
    for (organisation, day), some in newest(settings.LAKE_URL, READINGS).by_partition.items():
        files.setdefault((organisation, Quarter.of(day)), []).extend(some)
    archived = {(b.organisation, b.quarter) for b in Batch.objects.filter(state=Batch.State.DONE)}
    old = [
        key
        for key, some in files.items()
        if key not in begun
        and now.date() - key[1].last > KEPT_AT_LEAST
        and max(file.added for file in some) <= now - QUIET
        and (key in archived or all(file.sealed for file in some))
    ]
    return begun + sorted(old, key=lambda key: (key[1], key[0]))


def days_to_seal(now: datetime, *, wait: bool = True) -> list[tuple[str, date]]:
    """The days that are due (`ingestion.lake.seal.due`), but those that are in the archive or on their way there.

    What comes late for these is left to the next archiving.
    """
    put_away = {(b.organisation, b.quarter) for b in Batch.objects.all()}
    ended = seal.due(settings.LAKE_URL, now=now, wait=wait)
    return [(organisation, day) for organisation, day in ended if (organisation, Quarter.of(day)) not in put_away]


def quarter_archive(
    organisation: str,
    quarter: Quarter,
    *,
    now: datetime,
    seconds: float = 60.0,
    passing: Passing = lambda place: None,
    progress: Callable[[int], None] = lambda rows: None,
) -> bool:
    """Go on with an archiving, or begin it, for about `seconds`; whether it is done.

    `passing` is told each place between two steps, for the fault tests, `progress` how many rows were written.
    """
    lake, until = settings.LAKE_URL, time.monotonic() + seconds
    batch = _batch(organisation, quarter, now)
    if batch is None:
        return True
    table = snapshot_of(open_table(lake, READINGS), READINGS)
    covers = set(batch.covers)
    pinned = Snapshot(READINGS, table.version, [file for file in table.files if file.path in covers])
    if batch.state == Batch.State.WRITING:
        if len(pinned.files) != len(covers):
            log.info("%s of %s was changed while it was put away: again", quarter.name, organisation)
            batch_abandon(batch)
            return False
        if not _write(batch, pinned, until, passing, progress):
            return False
    if batch.state == Batch.State.MERGING:
        _merge(batch, pinned)
        passing("archive_merged")
        _advance(batch, Batch.State.REMOVING)
    if pinned.files:
        _remove(batch, pinned)
        passing("archive_removed")
    _advance(batch, Batch.State.DONE, done_at=now)
    return True


def batch_abandon(batch: Batch) -> None:
    """Give up an archiving whose rows are all still in the table: its objects go, and it can begin anew."""
    store = cold_store()
    for part in batch.parts.all():
        store.delete(part.key)
    batch.delete()


def _batch(organisation: str, quarter: Quarter, now: datetime) -> Batch | None:
    """The archiving that was begun, or a new one for what the table holds of the quarter; None if that is nothing."""
    mine = Batch.objects.filter(organisation=organisation, year=quarter.year, number=quarter.number)
    begun = mine.exclude(state=Batch.State.DONE).first()
    if begun is not None:
        return begun
    snapshot = snapshot_of(open_table(settings.LAKE_URL, READINGS), READINGS)
    covers = [file.path for day in quarter.days() for file in snapshot.partition(organisation, day)]
    if not covers:
        return None
    sequence = (mine.aggregate(last=Max("sequence"))["last"] or 0) + 1
    try:
        with transaction.atomic():
            return Batch.objects.create(
                organisation=organisation,
                year=quarter.year,
                number=quarter.number,
                sequence=sequence,
                covers=covers,
                began_at=now,
            )
    except IntegrityError:  # another task began it at the same moment
        return mine.exclude(state=Batch.State.DONE).first()


def _write(batch: Batch, pinned: Snapshot, until: float, passing: Passing, progress: Callable[[int], None]) -> bool:
    """Write one object for each person; whether all are written."""
    store = cold_store()
    written = set(batch.parts.values_list("subject", flat=True))
    for subject in _subjects(pinned):
        if subject in written:
            continue
        if time.monotonic() > until:
            return False
        rows = rows_of(settings.LAKE_URL, pinned, batch.organisation, subject, batch.quarter)
        packed = pack(rows)
        key = object_key(batch.organisation, subject, batch.quarter, batch.sequence)
        store.put(key, packed.data)
        passing("archive_put")
        Part.objects.get_or_create(
            key=key,
            defaults={
                "batch": batch,
                "subject": subject,
                "rows": packed.rows,
                "size": len(packed.data),
                "sha256": packed.sha256,
                "first_at": packed.first_at,
                "last_at": packed.last_at,
            },
        )
        passing("archive_noted")
        progress(packed.rows)
    if batch.sequence == 1:
        _advance(batch, Batch.State.REMOVING)
    else:
        _advance(batch, Batch.State.MERGING, base=summaries_version(settings.LAKE_URL))
    passing("archive_written")
    return True


def _subjects(pinned: Snapshot) -> list[str]:
    found: set[str] = set()
    for batch in dataset(settings.LAKE_URL, READINGS, pinned.files).scanner(columns=["subject"]).to_batches():
        found.update(pc.unique(batch["subject"]).to_pylist())
    return sorted(found)


def _merge(batch: Batch, pinned: Snapshot) -> None:
    """Add late rows to the summaries of their days."""
    names = [field.name for field in TABLE_SCHEMA if field.name not in READINGS.partition_by]
    for (_, day), files in sorted(pinned.by_partition.items()):
        rows: pa.Table = dataset(settings.LAKE_URL, READINGS, files).to_table(columns=names)
        summaries_add(settings.LAKE_URL, batch.organisation, day, unique(rows), base=batch.base)


def _remove(batch: Batch, pinned: Snapshot) -> None:
    mine = {file.path for file in pinned.files}
    why = f"archived {batch.quarter.name} of {batch.organisation}, number {batch.sequence}"
    table = open_table(settings.LAKE_URL, READINGS)
    if not mine & snapshot_of(table, READINGS).paths:  # another run of the same archiving was faster
        return
    try:
        replace(
            settings.LAKE_URL,
            table,
            READINGS,
            old=pinned.files,
            new=[],
            still=lambda s: mine <= s.paths,
            why=why,
            marks={archived_id(batch.organisation, batch.quarter): batch.sequence},
        )
    except Changed:
        if mine & snapshot_of(open_table(settings.LAKE_URL, READINGS), READINGS).paths:
            raise


def _advance(batch: Batch, state: Batch.State, **more: object) -> None:
    Batch.objects.filter(pk=batch.pk, state=batch.state).update(state=state, **more)
    batch.refresh_from_db()
