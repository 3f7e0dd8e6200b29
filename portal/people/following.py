"""Noticing that something changed, for processes that keep a snapshot of the database."""

from collections.abc import Iterable

from django.db.models import Q

from portal.people.models import Change, Organisation


class Follower:
    """Ask `changed()`; if it is true, read anew.

    The cursors are taken before the rows are read, so a change in between is read now and noticed once more, and no
    change is missed.
    """

    def __init__(self, kinds: Iterable[Change.Kind]) -> None:
        self._kinds = tuple(kinds)
        self._cursors: dict[int, int] | None = None

    def changed(self) -> bool:
        """Whether anything of these kinds was recorded since the last call; the first call says yes."""
        counters = dict(Organisation.objects.values_list("pk", "counter"))
        before, self._cursors = self._cursors, counters
        if before is None:
            return True
        if before == counters:
            return False
        since = Q(pk__in=[])
        for organisation, counter in counters.items():
            if counter != before.get(organisation):
                since |= Q(organisation_id=organisation, sequence__gt=before.get(organisation, 0))
        return Change.objects.filter(since, kind__in=self._kinds).exists()
