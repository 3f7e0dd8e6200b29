"""Celery tasks of the pipeline: short, idempotent, each for a share of the partitions."""

import logging
from datetime import date, timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from ingestion.archiver import archive
from ingestion.lake import LakeMoved
from ingestion.lake.files import Changed
from ingestion.lake.seal import seal
from ingestion.lake.tidy import keep_house, tidy
from portal.archive.archiving import days_to_seal
from portal.pipeline.process import crash_point

log = logging.getLogger(__name__)


@shared_task
def archive_share(*, share: int, shares: int, **_: Any) -> None:
    """Append what is new in every `shares`-th partition of `vitals.admitted`, starting with number `share`."""
    partitions = range(share, settings.ADMITTED_PARTITIONS, shares)
    try:
        done = archive(settings.LAKE_URL, settings.KAFKA_BOOTSTRAP_SERVERS, partitions)
    except LakeMoved:
        log.info("another task archived share %d; the next one goes on from there", share)
    else:
        log.info("share %d: %d readings archived", share, done.rows)


@shared_task
def tidy_lake(**_: Any) -> None:
    """Keep the files of the current day few, and those of months of summaries."""
    tidy(settings.LAKE_URL, now=timezone.now())


@shared_task
def seal_due(**_: Any) -> None:
    """Start a task for each day that is to be sealed. One that could not start in time is asked for again."""
    for organisation, day in days_to_seal(timezone.now()):
        seal_day.apply_async(
            kwargs={"organisation": organisation, "day": day.isoformat()}, expires=settings.SEAL_EVERY_S
        )


@shared_task(time_limit=840)  # below the broker's visibility timeout
def seal_day(*, organisation: str, day: str, **_: Any) -> None:
    """Seal one day of one organisation, or do nothing if it is sealed."""
    try:
        done = seal(
            settings.LAKE_URL, organisation, date.fromisoformat(day), now=timezone.now(), crash_point=crash_point
        )
    except Changed:
        log.info("day %s of %s kept changing; the next run seals it", day, organisation)
    else:
        log.info("day %s of %s sealed: %d readings, %d doubles", day, organisation, done.readings, done.doubles)


@shared_task(time_limit=840)
def keep_lake(**_: Any) -> None:
    """Checkpoint the tables, shorten their logs, and remove what no table names any more."""
    kept = timedelta(days=settings.SUMMARIES_KEPT_DAYS)
    removed = keep_house(settings.LAKE_URL, now=timezone.now(), summaries_kept=kept)
    log.info("%d files removed from the lake", removed)
