"""`manage.py lake_export FOLDER`: plain Parquet, one folder a day, for tools that read neither Delta nor SQL."""

from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.export import PURPOSES, export
from portal.operations.consents import consents_now


class Command(BaseCommand):
    help = "Write a copy of readings as plain Parquet in folders day=YYYY-MM-DD, as consent allows"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--purpose", default="care", help="whose consent counts: " + ", ".join(PURPOSES))
        parser.add_argument("--from", dest="first", help="first day, for example 2026-03-01")
        parser.add_argument("--to", dest="last", help="last day")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            first, last = (date.fromisoformat(d) if d else None for d in (options["first"], options["last"]))
        except ValueError:
            raise CommandError("Write days as 2026-03-01.") from None
        try:
            done = export(
                settings.LAKE_URL,
                options["folder"],
                purpose=options["purpose"],
                first=first,
                last=last,
                consents=consents_now(),
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{done.rows:,} readings of {done.days:,} days are in {options['folder']}")
