"""Snoozes: what one hides, and what it may never hide."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from analytics.evidence import Concern, concerns
from portal.alerts.models import Episode, Level, Snooze

LONGEST = timedelta(hours=24)
LONGEST_RED = timedelta(minutes=30)  # of a red state: NEWS2 of 7 or more


def longest(level: int) -> timedelta:
    return LONGEST_RED if level >= Level.HIGH else LONGEST


def snoozes_in_force(patients: Iterable[int], now: datetime) -> dict[int, list[Snooze]]:
    """The snoozes in force at `now`, by the patient's primary key, each with the alert it was set on."""
    found: dict[int, list[Snooze]] = {}
    rows = Snooze.objects.filter(patient__in=patients, at__lte=now, until__gt=now)
    for snooze in rows.select_related("alert__episode"):
        found.setdefault(snooze.patient_id, []).append(snooze)
    return found


def covered_until(episode: Episode, in_force: Iterable[Snooze]) -> datetime | None:
    """Until when these snoozes of its patient hide an episode like this, None if they do not.

    Everything it is about must be snoozed: each vital in its direction, up to its level and its points. A vital that
    was not snoozed, the other direction, a higher level or more points are a worse state, which nothing hides.
    """
    alike = [
        snooze
        for snooze in in_force
        # A plan's own limit is not NEWS2: whoever set it wants to hear of it.
        if snooze.alert.episode.cause == episode.cause and snooze.level >= episode.level
    ]
    ends = [_until(concern, alike) for concern in concerns(episode.cause, episode.evidence)]
    if not ends or None in ends:
        return None
    return min(end for end in ends if end is not None)


def _until(concern: Concern, snoozes: Iterable[Snooze]) -> datetime | None:
    ends = [
        snooze.until
        for snooze in snoozes
        if (snooze.vital, snooze.direction) == (concern.vital, concern.direction)
        and (concern.points is None or (snooze.points is not None and concern.points <= snooze.points))
    ]
    return max(ends, default=None)
