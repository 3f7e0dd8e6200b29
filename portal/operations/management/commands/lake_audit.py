"""`manage.py lake_audit`: did every packet reach the lake or the refused, once? Exit code 1 if not."""

import sys
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from ingestion.audit import Audit, audit
from portal.operations.erased import erased_subjects


class Command(BaseCommand):
    help = "Walk vitals.readings and prove that each packet is in the lake, refused, or on its way, exactly once"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from-offset", type=int, help="begin here in every partition (the oldest kept)")
        parser.add_argument("--since", help="begin with what was received since, for example 2026-11-24T00:00:00Z")

    def handle(self, *args: Any, **options: Any) -> None:
        since = _instant(options["since"])
        start = None
        if options["from_offset"] is not None:
            start = dict.fromkeys(range(settings.READINGS_PARTITIONS), options["from_offset"])
        with tqdm(unit=" packets", disable=None, file=sys.stderr) as bar:
            done = audit(
                settings.KAFKA_BOOTSTRAP_SERVERS,
                settings.LAKE_URL,
                start=start,
                since=since,
                erased=erased_subjects(),
                progress=bar.update,
            )
        self._say(done)
        if not done.clean:
            sys.exit(1)

    def _say(self, done: Audit) -> None:
        self.stdout.write(f"vitals.readings, topic id {done.topic_id}")
        for partition, begin in sorted(done.begin.items()):
            self.stdout.write(f"  partition {partition}: offsets {begin:,} to {done.end[partition]:,}")
        for count, what in (
            (done.packets, "packets in the log, each of which is one of:"),
            (done.in_lake, "  in the lake"),
            (done.refused, "  refused"),
            (done.on_the_way, "  admitted, not yet archived"),
            (done.delivered_again, "  delivered again: the later receipt is in the lake"),
            (done.erased, "  of people who were erased"),
            (done.missing, "  MISSING" if done.missing else "  missing"),
            (done.doubled, "of them DOUBLED" if done.doubled else "of them doubled"),
            (done.undecided, "offsets not decided yet, and not audited"),
        ):
            self.stdout.write(f"{count:>14,} {what}")
        for word, places in (("missing", done.missing_at), ("doubled", done.doubled_at)):
            for partition, offset in places:
                self.stdout.write(f"  {word}: partition {partition} offset {offset}")
        self.stdout.write(
            "Every packet is accounted for, once." if done.clean else "NOT every packet is accounted for."
        )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError("Write --since as 2026-11-24T00:00:00Z.") from None
    if at.tzinfo is None:
        raise CommandError("Add the offset from UTC to --since, for example 2026-11-24T00:00:00Z.")
    return at
