"""`manage.py learn_shared`: learn the part that everybody's nights share now, and say what became of it."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from portal.people.models import Patient
from portal.personal.shared import shared_learn


class Command(BaseCommand):
    help = "Learn the part that everybody's nights share, and have it judge nights if it does not do worse"

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(shared_learn(Patient.objects.all(), timezone.now()).result)
