"""Whose readings may be missing from the lake because the person was erased."""

from portal.rights.models import Erasure


def erased_subjects() -> set[str]:
    """The subjects of people who are being erased, or whose tombstones still stand."""
    return set(Erasure.objects.exclude(subject="").values_list("subject", flat=True))
