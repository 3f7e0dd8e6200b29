"""`manage.py erase_person --patient 7 --by admin`: erase one person everywhere, and print the receipt."""

import json
import time
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ingestion.erase import traces
from ingestion.lake.files import Changed
from portal.accounts.models import User
from portal.people.models import Patient
from portal.pipeline.process import crash_point
from portal.rights.erasing import erasure_advance, erasure_begin
from portal.rights.models import Erasure

LOOK_EVERY_S = 5.0


class Command(BaseCommand):
    help = "Erase one person from the lake, the archive and the database; run it again after a crash"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--patient", type=int, help="the patient's number in the administration")
        parser.add_argument("--by", help="user name of the superuser who records the person's decision")
        parser.add_argument("--resume", type=int, help="go on with the erasure of this number")
        parser.add_argument("--prove", action="store_true", help="search every file of the lake for the person")

    def handle(self, *args: Any, **options: Any) -> None:
        erasure = self._erasure(options)
        subject, said = erasure.subject, ""
        self.stdout.write(f"Erasure {erasure.pk}; after a crash: manage.py erase_person --resume {erasure.pk}")
        while True:
            try:
                if erasure_advance(erasure, timezone.now(), crash_point):
                    break
            except Changed:
                pass
            if said != erasure.step:
                said = erasure.step
                self.stdout.write(f"{erasure.get_step_display()} …")
            time.sleep(LOOK_EVERY_S)
        for where, counts in sorted(erasure.receipt.items()):
            shown = {what: count for what, count in counts.items() if what != "noted"}
            self.stdout.write(f"{where}: {json.dumps(shown, sort_keys=True)}")
        self.stdout.write(f"Erased. Kafka forgets the person by {erasure.tombstone_until:%Y-%m-%d %H:%M} UTC.")
        if options["prove"] and subject:
            if found := traces(settings.LAKE_URL, subject):
                raise CommandError("Still found in: " + ", ".join(found))
            self.stdout.write("No file of the lake or the archive holds the person any more.")

    def _erasure(self, options: dict[str, Any]) -> Erasure:
        if options["resume"]:
            if (found := Erasure.objects.filter(pk=options["resume"]).first()) is None:
                raise CommandError("There is no erasure of this number.")
            return found
        patient = Patient.objects.select_related("organisation").filter(pk=options["patient"]).first()
        by = User.objects.filter(username=options["by"]).first()
        if patient is None or by is None:
            raise CommandError("Name a patient (--patient NUMBER) and the superuser who records it (--by NAME).")
        try:
            return erasure_begin(patient=patient, by=by, now=timezone.now())
        except PermissionDenied as error:
            raise CommandError(str(error)) from None
