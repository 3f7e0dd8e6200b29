"""Snoozes: what one hides, and what it may never hide."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from analytics.evidence import Concern, concerns
from portal.alerts.models import Episode, Level, Snooze

LONGEST = timedelta(hours=24)
LONGEST_RED = timedelta(minutes=30)  # of a red state: NEWS2 of 7 or more


def longest(level: int) -> timedelta:
    return LONGEST_RED if level >= Level.HIGH else LONGEST


def covered_until(episode: Episode, now: datetime) -> datetime | None:
    """Until when the snoozes in force at `now` hide an episode like this, None if they do not.

    Everything it is about must be snoozed: each vital in its direction, up to its level and its points. A vital that
    was not snoozed, the other direction, a higher level or more points are a worse state, which nothing hides.
    """
    about = concerns(episode.cause, episode.evidence)
    in_force = Snooze.objects.filter(
        patient=episode.patient_id,
        alert__episode__cause=episode.cause,  # a plan's own limit is not NEWS2: whoever set it wants to hear of it
        level__gte=episode.level,
        at__lte=now,
        until__gt=now,
    )
    ends = [_until(concern, in_force) for concern in about]
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
