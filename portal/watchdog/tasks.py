"""The watchdog's task, on the `care` queue."""

from functools import partial
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from ingestion.kafka import packets_send
from portal.watchdog.services import probe_start, probes_check


@shared_task
def watch_over(**_: Any) -> None:
    """Look at the open probes, and begin the next one when it is time."""
    probes_check(timezone.now())
    probe_start(timezone.now(), partial(packets_send, settings.KAFKA_BOOTSTRAP_SERVERS))
