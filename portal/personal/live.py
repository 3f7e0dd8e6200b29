"""Models and context as the watcher needs them, kept fresh by the changes since its cursor.

A version comes into force a minute after it was promoted (`portal.personal.versions.NOTICE`), so that every watcher
has it by then and a replay judges each reading by the version under which it was judged at first.
"""

import logging
import time
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings

from analytics import store
from analytics.personal import Tag
from analytics.store import UnreadableModel
from analytics.versions import Models, Version
from analytics.windows import Edges, StreamModel
from ingestion.instants import microseconds
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.people.following import Follower
from portal.people.models import Change, Patient
from portal.personal.models import Activation, ContextTag
from portal.personal.shares import people_of, shares_of_partition

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
KEPT = timedelta(days=2)  # readings received longer ago are not scored again
TAGS_BACK = timedelta(days=1)
MATTERS = (Change.Kind.MODEL, Change.Kind.CONSENT)


class LiveModels:
    """Ask `changed()`; if it is true, read `models_of` and `tags_of` anew."""

    def __init__(self) -> None:
        self._changes = Follower(MATTERS)
        self._looked = float("-inf")

    def changed(self) -> bool:
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return False
        self._looked = time.monotonic()
        return self._changes.changed()


def models_of(partition: int, now: datetime) -> Models:
    """The models of the consenting people of a partition, in every version that was in force in the last two days."""
    versions = []
    for share in shares_of_partition(partition):
        rows = list(Activation.objects.filter(share=share).select_related("version").order_by("-since", "-pk")[:50])
        earlier = next((i for i, row in enumerate(rows) if row.since <= now - KEPT), len(rows))
        for row in rows[: earlier + 1]:
            try:
                models, edges = _file(settings.MODELS_URL, row.version.name)
            except UnreadableModel as error:
                log.error("%s; the version before it stays in force", error)
                continue
            versions.append(Version(row.version.name, models, edges, microseconds(row.since), share))
    if not versions:
        return Models([])
    allowed = _consented(partition)
    return Models(
        Version(v.name, {s: m for s, m in v.models.items() if s in allowed}, v.edges, v.since, v.share)
        for v in versions
    )


def tags_of(partition: int, now: datetime) -> dict[str, list[Tag]]:
    """What was said about the present, and about the last day, by subject."""
    tags: dict[str, list[Tag]] = {}
    people = people_of(shares_of_partition(partition))
    rows = ContextTag.objects.filter(patient__in=people, until__gt=now - TAGS_BACK).order_by("since")
    for subject, kind, since, until in rows.values_list("patient__subject", "kind", "since", "until"):
        tags.setdefault(subject, []).append(Tag(kind, microseconds(since), microseconds(until)))
    return tags


def _consented(partition: int) -> set[str]:
    people: list[Patient] = list(people_of(shares_of_partition(partition)))
    both = consenting(people, Purpose.PERSONAL_MODEL) & consenting(people, Purpose.CARE)
    return {p.subject for p in people if p.pk in both}


@lru_cache(maxsize=128)
def _file(url: str, name: str) -> tuple[dict[str, StreamModel], Edges]:
    _, models, edges = store.read(url, name)
    return models, edges


def forget_files() -> None:
    """Files that were rewritten must be read again."""
    _file.cache_clear()
