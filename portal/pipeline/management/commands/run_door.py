"""`manage.py run_door`: read packets, decide them, send them on. Start as many as wanted, each with its own --name."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ingestion.doorway import Doorway
from ingestion.kafka import topics_create
from portal.pipeline.directory import LiveDirectory
from portal.pipeline.latest import progress_write, redis_may_fail
from portal.pipeline.process import stop_on_signal


class Command(BaseCommand):
    help = "Run one door: vitals.readings -> vitals.admitted, vitals.refused"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="1", help="this door's name among all doors, stable over restarts")

    def handle(self, *args: Any, **options: Any) -> None:
        topics_create(
            settings.KAFKA_BOOTSTRAP_SERVERS,
            readings=settings.READINGS_PARTITIONS,
            admitted=settings.ADMITTED_PARTITIONS,
        )
        Doorway(
            settings.KAFKA_BOOTSTRAP_SERVERS,
            name=options["name"],
            transactions=settings.KAFKA_TRANSACTIONS,
            admitted_partitions=settings.ADMITTED_PARTITIONS,
            known=LiveDirectory(),
            progress=_progress,
        ).run(stop_on_signal())


def _progress(passed: dict[int, datetime]) -> None:
    with redis_may_fail():
        progress_write("door", passed)
