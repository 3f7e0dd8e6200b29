"""Whose readings may be missing from the lake because the person was erased."""


def erased_subjects() -> set[str]:
    """The subjects of tombstones that still stand."""
    return set()
