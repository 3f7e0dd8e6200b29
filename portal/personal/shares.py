"""Shares of the people: ranges of subjects, each within one partition of `vitals.admitted`."""

from collections.abc import Iterable

from django.conf import settings
from django.db.models import QuerySet

from ingestion.door import partition_of
from portal.people.models import Patient


def shares() -> int:
    return int(settings.ADMITTED_PARTITIONS * settings.TRAINING_SHARES)


def share_of(subject: str) -> int:
    return partition_of(subject, shares())


def shares_of_partition(partition: int) -> range:
    each: int = settings.TRAINING_SHARES
    return range(partition * each, (partition + 1) * each)


def people_of(some: Iterable[int]) -> QuerySet[Patient]:
    """The patients of neighbouring shares, in order of subject."""
    numbers, width = sorted(some), shares()
    low, high = -(-(numbers[0] << 32) // width), -(-((numbers[-1] + 1) << 32) // width)
    people = Patient.objects.filter(subject__gte=f"{low:08x}")
    return (people.filter(subject__lt=f"{high:08x}") if high < 1 << 32 else people).order_by("subject")
