"""NEWS2 against the printed chart (Royal College of Physicians, 2017)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.episodes import Level
from analytics.limits import INPUTS, news2

NORMAL = {
    "respiratory_rate": 16,
    "spo2": 97,
    "supplemental_oxygen": False,
    "systolic": 120,
    "heart_rate": 70,
    "consciousness": "A",
    "temperature": 37.0,
}


@pytest.mark.parametrize(
    ("vital", "chart"),
    [
        ("respiratory_rate", {8: 3, 9: 1, 11: 1, 12: 0, 20: 0, 21: 2, 24: 2, 25: 3}),
        ("spo2", {91: 3, 92: 2, 93: 2, 94: 1, 95: 1, 96: 0, 91.4: 3, 91.5: 2}),
        ("supplemental_oxygen", {True: 2, False: 0}),
        ("systolic", {90: 3, 91: 2, 100: 2, 101: 1, 110: 1, 111: 0, 219: 0, 220: 3}),
        ("heart_rate", {40: 3, 41: 1, 50: 1, 51: 0, 90: 0, 91: 1, 110: 1, 111: 2, 130: 2, 131: 3}),
        ("consciousness", {"A": 0, "C": 3, "V": 3, "P": 3, "U": 3}),
        ("temperature", {35.0: 3, 35.1: 1, 36.0: 1, 36.1: 0, 38.0: 0, 38.1: 1, 39.0: 1, 39.1: 2, 38.04: 0, 38.06: 1}),
    ],
)
def test_points_are_those_of_the_chart(vital, chart):
    assert {value: news2({**NORMAL, vital: value}).points[vital] for value in chart} == chart


@pytest.mark.parametrize(
    ("oxygen", "chart"),
    [
        (True, {83: 3, 84: 2, 85: 2, 86: 1, 87: 1, 88: 0, 92: 0, 93: 1, 94: 1, 95: 2, 96: 2, 97: 3}),
        (False, {83: 3, 85: 2, 87: 1, 88: 0, 93: 0, 97: 0, 100: 0}),
    ],
)
def test_scale_2_counts_high_saturation_only_on_oxygen(oxygen, chart):
    scored = {s: news2({**NORMAL, "spo2": s, "supplemental_oxygen": oxygen}, scale=2).points["spo2"] for s in chart}
    assert scored == chart


@pytest.mark.parametrize(
    ("values", "score", "level"),
    [
        ({}, 0, Level.NONE),
        ({"respiratory_rate": 22, "spo2": 93}, 4, Level.NONE),
        ({"spo2": 90}, 3, Level.LOW_MEDIUM),
        ({"respiratory_rate": 22, "spo2": 93, "heart_rate": 95}, 5, Level.MEDIUM),
        ({"spo2": 90, "respiratory_rate": 26, "heart_rate": 95}, 7, Level.HIGH),
    ],
)
def test_the_thresholds_are_a_single_three_five_and_seven(values, score, level):
    result = news2({**NORMAL, **values})
    assert (result.score, result.level, result.partial) == (score, level, False)


@given(st.sets(st.sampled_from(INPUTS)))
def test_a_score_without_all_seven_inputs_is_partial_and_never_higher(missing):
    sick = {**NORMAL, "spo2": 90, "heart_rate": 120, "temperature": 39.5}
    partial = news2({k: v for k, v in sick.items() if k not in missing})
    assert partial.partial is bool(missing)
    assert partial.inputs == 7 - len(missing)
    assert partial.score <= news2(sick).score
