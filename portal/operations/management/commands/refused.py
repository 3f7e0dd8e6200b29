"""`manage.py refused`: what the door has refused in the last seven days, by reason. No payload is ever shown."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ingestion.refused import Summary, refused


class Command(BaseCommand):
    help = "Count the refused packets by reason, with the coordinates of the newest of each"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", help="only this reason")
        parser.add_argument("--samples", type=int, default=3, help="how many of each reason to show (3)")

    def handle(self, *args: Any, **options: Any) -> None:
        summary = Summary(kept=options["samples"])
        for packet in refused(settings.KAFKA_BOOTSTRAP_SERVERS):
            if options["reason"] in (None, packet.reason):
                summary.add(packet)
        if not summary.count:
            self.stdout.write("Nothing refused is kept.")
            return
        for reason, count in summary.count.most_common():
            again = f", {summary.again[reason]:,} replayed before" if summary.again[reason] else ""
            self.stdout.write(f"{reason}: {count:,} ({summary.replayable[reason]:,} can be replayed{again})")
            for p in summary.samples[reason][-options["samples"] :] if options["samples"] else ():
                device = f" {p.device_id}" if p.device_id else ""
                self.stdout.write(
                    f"    {p.refused_at:%Y-%m-%d %H:%M:%S} partition {p.at.partition} offset {p.at.offset}"
                    f" {p.length} bytes{device}{' ' + why if (why := p.obstacle()) else ''}"
                )
