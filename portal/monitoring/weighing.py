"""Weight gain of people whose plan asks for it: looked at each hour, from what lies in the lake.

Raised and ended as episodes of the cause "gain:weight:high". It is an absolute rule: it needs no model, and no context
holds it back.
"""

from collections.abc import Collection, Iterator
from datetime import datetime

from django.conf import settings

from analytics.episodes import Level, Step, Transition
from analytics.weight import CAUSE, weighed
from portal.alerts.selectors import with_open_episode
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.monitoring.selectors import plans_of
from portal.people.models import Patient


def weight_transitions(people: Collection[Patient], now: datetime) -> Iterator[Transition]:
    """What the newest weight of each changes; nothing for those who are not watched, or have not consented to care."""
    plans = plans_of(people, now)
    active = [p for p in people if (plan := plans.get(p.pk)) and plan.is_active(now)]
    agreed = consenting(active, Purpose.CARE)
    open_now = with_open_episode(active, CAUSE)
    for patient in active:
        if not plans[patient.pk].weight_gain:
            if patient.pk in open_now:  # nobody asks for it any more
                yield Transition(patient.subject, CAUSE, Step.ENDED, Level.LOW_MEDIUM, now, {})
            continue
        if patient.pk not in agreed:
            continue
        found = weighed(settings.LAKE_URL, organisation=patient.organisation.key, subject=patient.subject, now=now)
        if found is None:
            continue
        if patient.pk in open_now and found.calm:
            yield Transition(patient.subject, CAUSE, Step.ENDED, Level.LOW_MEDIUM, found.at, found.evidence)
        elif patient.pk not in open_now and found.asks:
            yield Transition(patient.subject, CAUSE, Step.OPENED, Level.LOW_MEDIUM, found.at, found.evidence)
