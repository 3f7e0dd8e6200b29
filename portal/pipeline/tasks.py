"""Celery tasks of the pipeline: short, idempotent, each for a share of the partitions."""

import logging
from typing import Any

from celery import shared_task
from django.conf import settings

from ingestion.archiver import archive
from ingestion.lake import LakeMoved

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
