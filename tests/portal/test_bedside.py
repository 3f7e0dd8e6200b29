"""A value and a score as pages show them: never more certain, or fresher, than they are."""

import re
from datetime import timedelta

import pytest

from analytics.limits import news2
from portal.people.selectors import Shown
from portal.people.templatetags.bedside import reading, score
from tests.portal.conftest import NOW

SPO2 = Shown("spo2", "SpO₂", "88", "%", NOW - timedelta(seconds=40), "watch-alice", points=3, due=True)


def text(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_value_says_its_unit_its_points_and_its_age():
    shown = reading(SPO2, NOW)
    assert text(shown) == "88 % +3 NEWS2 points 40 s ago"
    assert 'class="value scored-3"' in shown


def test_a_patient_sees_no_points():
    assert text(reading(SPO2, NOW, plain=True)) == "88 % 40 s ago"
    assert "scored" not in reading(SPO2, NOW, plain=True)


def test_an_old_value_says_so():
    old = Shown("spo2", "SpO₂", "97", "%", NOW - timedelta(hours=3), "watch-alice", stale=True)
    assert text(reading(old, NOW)) == "97 % old, 3 h ago"
    assert 'class="reading stale"' in reading(old, NOW)


@pytest.mark.parametrize(("due", "said"), [(True, "no data"), (False, "not in the plan")])
def test_where_nothing_was_measured_it_is_said(due, said):
    assert text(reading(Shown("spo2", "SpO₂", due=due), NOW)) == said


def test_what_a_device_wrote_is_text():
    assert "<b>" not in reading(Shown("spo2", "SpO₂", "<b>", "%", NOW), NOW)


def test_a_score_says_of_how_many_inputs_it_is():
    assert text(score(news2({"spo2": 88.0, "heart_rate": 112.0}, 1))) == "5 medium, partial, 2 of 7"
    assert text(score(None)) == "no data"
