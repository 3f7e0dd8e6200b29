"""`manage.py export_training FOLDER`: one Parquet file for each share, of those who have consented, for SageMaker."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from analytics.learn import COLUMNS, LEARNED
from ingestion import lake
from portal.personal.shares import people_of, shares
from portal.personal.training import consented, midnight


class Command(BaseCommand):
    help = "Export the readings that training may use, one Parquet file for each share of the people"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="where the files go; made if it is not there")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        end = midnight(timezone.now())
        for share in range(shares()):
            tables = []
            for person in consented(people_of([share])):
                rows = lake.read(
                    settings.LAKE_URL,
                    organisation=person.organisation.key,
                    subject=person.subject,
                    start=end - LEARNED,
                    end=end,
                    columns=[*COLUMNS, "device_id"],
                )
                tables.append(rows.append_column("subject", pa.repeat(pa.scalar(person.subject), rows.num_rows)))
            if tables:
                pq.write_table(pa.concat_tables(tables), folder / f"readings-{share}.parquet", compression="zstd")
            self.stdout.write(f"share {share}: {len(tables)} people")
