"""`manage.py seed_demo`: make the demo's organisation, if it is not there."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from portal.embedded.seed import ORGANISATION, password_file, seed


class Command(BaseCommand):
    help = "Make the demo's organisation with a hundred invented patients; a second run changes nothing"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--people", type=int, default=100)

    def handle(self, *args: Any, **options: Any) -> None:
        seed(timezone.now(), options["people"])
        self.stdout.write(f"{ORGANISATION} is there; the password of its people is in {password_file()}")
