"""Celery tasks of the lake queue: put old quarters away, bring back what was asked for."""

import logging
from typing import Any

from celery import shared_task
from django.utils import timezone

from ingestion.lake.files import Changed
from portal.archive.archiving import due, quarter_archive
from portal.archive.services import requests_advance
from portal.pipeline.process import crash_point

log = logging.getLogger(__name__)


@shared_task
def archive_old(**_: Any) -> None:
    """Go on with one quarter, for a minute at most."""
    now = timezone.now()
    for organisation, quarter in due(now)[:1]:
        try:
            done = quarter_archive(organisation, quarter, now=now, passing=crash_point)
        except Changed:
            log.info("%s of %s kept changing; the next run goes on", quarter.name, organisation)
        else:
            log.info("%s of %s: %s", quarter.name, organisation, "in the archive" if done else "goes on")


@shared_task
def archive_restore(**_: Any) -> None:
    requests_advance(timezone.now(), crash_point)
