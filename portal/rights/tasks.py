"""Celery tasks of the lake queue: erasures go on, tombstones fall."""

import logging
from typing import Any

from celery import shared_task
from django.utils import timezone

from ingestion.lake.files import Changed
from portal.pipeline.process import crash_point
from portal.rights.erasing import erasure_advance, tombstones_fall
from portal.rights.models import Erasure

log = logging.getLogger(__name__)


@shared_task(time_limit=840)
def erasures_advance(**_: Any) -> None:
    now = timezone.now()
    for erasure in Erasure.objects.exclude(step=Erasure.Step.DONE):
        try:
            erasure_advance(erasure, now, crash_point)
        except Changed:
            log.info("erasure %d: a day kept changing; the next run goes on", erasure.pk)
    tombstones_fall(now)
