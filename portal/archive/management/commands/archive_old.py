"""`manage.py archive_old`: put every quarter that is old enough into the archive, by hand."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from tqdm import tqdm

from portal.archive.archiving import due, quarter_archive
from portal.pipeline.process import crash_point


class Command(BaseCommand):
    help = "Put quarters that ended more than 180 days ago into the archive"

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        quarters = due(now)
        if not quarters:
            self.stdout.write("Nothing is old enough, sealed and quiet.")
        for organisation, quarter in quarters:
            with tqdm(unit=" readings", unit_scale=True, disable=None, file=sys.stderr) as bar:
                while not quarter_archive(organisation, quarter, now=now, passing=crash_point, progress=bar.update):
                    pass
            self.stdout.write(f"{quarter.name} of {organisation} is in the archive")
