"""`manage.py run_watcher`: score admitted readings, open and end episodes, raise alerts. Start as many as wanted."""

import logging
import uuid
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ingestion.kafka import topics_create
from portal.pipeline.process import stop_on_signal
from portal.pipeline.watch import Watch

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run one watcher: vitals.admitted -> episodes, alerts, latest values"

    def handle(self, *args: Any, **options: Any) -> None:
        topics_create(
            settings.KAFKA_BOOTSTRAP_SERVERS,
            readings=settings.READINGS_PARTITIONS,
            admitted=settings.ADMITTED_PARTITIONS,
        )
        owner = uuid.uuid4().hex
        log.info("watcher %s", owner)  # the name in its rows of WatchPosition
        Watch(settings.KAFKA_BOOTSTRAP_SERVERS, owner=owner).run(stop_on_signal())
