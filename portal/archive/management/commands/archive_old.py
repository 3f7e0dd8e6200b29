"""`manage.py archive_old`: put every quarter that is old enough into the archive, by hand."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count, Sum
from django.utils import timezone
from tqdm import tqdm

from portal.archive.archiving import due, quarter_archive
from portal.archive.models import Batch
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
            batch = Batch.objects.filter(organisation=organisation, year=quarter.year, number=quarter.number).last()
            put = batch.parts.aggregate(objects=Count("pk"), rows=Sum("rows"), size=Sum("size"))
            self.stdout.write(
                f"{quarter.name} of {organisation} is in the archive: {put['objects']:,} objects,"
                f" {put['rows']:,} readings, {put['size']:,} bytes, {put['size'] / put['rows']:.2f} a reading"
            )
