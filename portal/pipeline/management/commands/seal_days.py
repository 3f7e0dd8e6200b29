"""`manage.py seal_days`: seal by hand what a worker would seal, and do not wait until late rows have stopped coming."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from ingestion.lake.files import Changed
from ingestion.lake.seal import seal
from portal.archive.archiving import days_to_seal


class Command(BaseCommand):
    help = "Seal every ended day that holds unsealed rows, or those asked for; safe beside the workers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organisation", help="only this organisation's days, by its key")
        parser.add_argument("--from", dest="first", type=date.fromisoformat, help="first day, year-month-day (UTC)")
        parser.add_argument("--to", dest="last", type=date.fromisoformat, help="last day, year-month-day (UTC)")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        first, last = options["first"] or date.min, options["last"] or date.max
        wanted = [
            (organisation, day)
            for organisation, day in days_to_seal(now, wait=False)
            if options["organisation"] in (None, organisation) and first <= day <= last
        ]
        readings = doubles = 0
        left = []
        for organisation, day in tqdm(wanted, unit="day", desc="Sealing", disable=not self.stderr.isatty()):
            try:
                done = seal(settings.LAKE_URL, organisation, day, now=now)
            except Changed:
                left.append(f"{day} of {organisation}")
                continue
            readings += done.readings
            doubles += done.doubles
        self.stdout.write(f"{len(wanted) - len(left)} days sealed: {readings:,} readings, {doubles:,} doubles dropped.")
        if left:
            raise CommandError(f"Still being written to, so run this again later: {', '.join(left)}")
