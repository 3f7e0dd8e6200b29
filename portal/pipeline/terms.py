"""Monitoring plans as the watcher's terms, kept fresh by the changes since its cursor."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from analytics.terms import ALWAYS, NEVER, Limit, Term, Terms
from ingestion.instants import microseconds
from portal.monitoring.models import Plan
from portal.people.following import Follower
from portal.people.models import Change

LOOK_EVERY_S = 1.0
KEPT = timedelta(days=2)  # versions that ended longer ago cannot have been in force for a reading that is still scored
SCALES = {Plan.News2.OFF: 0, Plan.News2.SCALE_1: 1, Plan.News2.SCALE_2: 2}


class LiveTerms:
    """Call it with the time: new terms if a plan has changed since the last call, else None."""

    def __init__(self) -> None:
        self._changes = Follower([Change.Kind.PLAN])
        self._looked = float("-inf")

    def __call__(self, now: datetime) -> Terms | None:
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return None
        self._looked = time.monotonic()
        return Terms(load(now)) if self._changes.changed() else None


def load(now: datetime) -> Iterator[Term]:
    """Every version of a plan that was in force during the last two days, as terms; more than one of a version where
    a limit ends before it does."""
    plans = Plan.objects.exclude(in_force_to__lt=now - KEPT).select_related("patient")
    for plan in plans.prefetch_related("vitals", "limits"):
        yield from _terms_of(plan)


def _terms_of(plan: Plan) -> Iterator[Term]:
    begin, end = _microseconds(plan.in_force_from, ALWAYS), _microseconds(plan.in_force_to, NEVER)
    limits = [(limit, _microseconds(limit.ends_at, NEVER)) for limit in plan.limits.all()]
    edges = sorted({begin, end, *(until for _, until in limits if begin < until < end)})
    for valid_from, valid_to in pairwise(edges):
        yield Term(
            subject=plan.patient.subject,
            valid_from=valid_from,
            valid_to=valid_to,
            watched_from=_microseconds(plan.starts_at, ALWAYS),
            watched_to=_microseconds(plan.ends_at, NEVER),
            paused_from=_microseconds(plan.paused_from, NEVER),
            paused_to=_microseconds(plan.paused_to, NEVER),
            scale=SCALES[Plan.News2(plan.news2)],
            due_s={v.vital: v.due_every_minutes * 60 for v in plan.vitals.all()},
            limits={x.vital: Limit(x.low, x.high, x.reason) for x, until in limits if until >= valid_to},
        )


def _microseconds(at: datetime | None, otherwise: int) -> int:
    return otherwise if at is None else microseconds(at)
