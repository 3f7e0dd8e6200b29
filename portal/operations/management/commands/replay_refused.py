"""`manage.py replay_refused --reason unassigned`: send refused packets through the door again, each once."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ingestion.replay import REASONS, replay
from portal.pipeline.process import crash_point


class Command(BaseCommand):
    help = "Send refused packets through the door again, after the cause was mended; each is sent once"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="one of: " + ", ".join(REASONS))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = replay(
                settings.KAFKA_BOOTSTRAP_SERVERS,
                options["reason"],
                transactions=settings.KAFKA_TRANSACTIONS,
                now=timezone.now(),
                passing=crash_point,
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{done.sent:,} packets sent to the door again.")
        for why, count in sorted(done.left.items()):
            self.stdout.write(f"{count:,} cannot be sent again: {why}.")
