"""Monitoring plans as the watcher has them: read again when a plan has changed, and only then."""

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from django.db import transaction

from analytics.terms import ALWAYS, COLUMN, NEVER, Limit
from portal.alerts.services import transitions_apply
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.monitoring.models import Plan
from portal.monitoring.services import Bounds, draft_of, plan_end, plan_pause, plan_write
from portal.pipeline import terms
from portal.pipeline.terms import KEPT, LOOK_EVERY_S, LiveTerms, load
from tests.portal.conftest import NOW, YESTERDAY, hypoxia


def us(at):
    return int(at.timestamp() * 1_000_000)


@pytest.fixture
def look(monkeypatch):
    """A function that waits for the next look, and gives new terms or None."""
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(terms, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    live = LiveTerms()

    def next_look(after_s=LOOK_EVERY_S):
        clock.seconds += after_s
        return live(NOW)

    return next_look


def watched(found, patient, at):
    first = np.array([found.first(patient.subject)])
    return bool(found.in_force(first, np.array([us(at)]))[1][0])


def test_a_plan_says_what_is_watched_how_often_within_which_limits_and_when(cast):
    draft = draft_of(cast.plan)
    draft = type(draft)(
        **{name: getattr(draft, name) for name in draft.__dataclass_fields__}
        | {
            "news2": Plan.News2.SCALE_2,
            "limits": {"heart_rate": Bounds(50, None, "beta blocker")},
            "ends_at": NOW + timedelta(days=7),
        }
    )
    plan_write(patient=cast.patient, draft=draft, author=cast.bob, now=NOW)
    old, new = sorted(load(NOW), key=lambda term: term.valid_from)
    assert (old.valid_from, old.valid_to) == (us(YESTERDAY), us(NOW))
    assert (old.scale, old.limits, old.watched_to) == (1, {}, NEVER)
    assert (new.subject, new.valid_from, new.valid_to) == (cast.patient.subject, us(NOW), NEVER)
    assert (new.watched_from, new.watched_to) == (us(YESTERDAY), us(NOW + timedelta(days=7)))
    assert (new.paused_from, new.scale, new.due_s) == (NEVER, 2, {"heart_rate": 300, "spo2": 300})
    assert new.limits == {"heart_rate": Limit(50, None, "beta blocker")}
    assert new.valid_from > ALWAYS


def test_new_terms_come_with_a_changed_plan_and_not_with_anything_else(cast, look):
    assert watched(look(), cast.patient, NOW)
    assert look() is None
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient)], now=NOW)
    consent_record(patient=cast.patient, purpose=Purpose.CHAT, given=True, by=cast.alice, now=NOW)
    assert look() is None
    plan_pause(patient=cast.patient, reason="in hospital", until=None, author=cast.bob, now=NOW)
    assert look(LOOK_EVERY_S / 2) is None  # not so often
    assert not watched(look(LOOK_EVERY_S / 2), cast.patient, NOW)
    assert look() is None


def test_a_pause_and_an_end_hold_from_their_moment_on(cast, look):
    plan_pause(patient=cast.patient, reason="away", until=NOW + timedelta(hours=1), author=cast.bob, now=NOW)
    found = look()
    minute = timedelta(minutes=1)
    moments = (NOW - minute, NOW + minute, NOW + timedelta(hours=1) + minute)
    assert [watched(found, cast.patient, at) for at in moments] == [True, False, True]
    plan_end(patient=cast.patient, author=cast.bob, now=NOW + timedelta(hours=2))
    found = look()
    moments = (NOW + timedelta(hours=2) - minute, NOW + timedelta(hours=2) + minute)
    assert [watched(found, cast.patient, at) for at in moments] == [True, False]


def test_without_a_plan_nobody_is_watched(cast, look):
    found = look()
    assert not watched(found, cast.dora, NOW)
    assert (found.low[0, COLUMN["heart_rate"]], found.scale[0]) == (-np.inf, 0)


def test_versions_from_long_ago_are_left_out(cast):
    later = NOW + KEPT + timedelta(minutes=1)
    plan_write(patient=cast.patient, draft=draft_of(cast.plan), author=cast.bob, now=NOW)
    assert [term.valid_from for term in load(later)] == [us(NOW)]
    assert len(list(load(NOW + KEPT - timedelta(minutes=1)))) == 2
