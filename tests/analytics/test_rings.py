"""Rings: what moves slot by slot is what the whole history says, to the last grain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import rings, windows
from analytics.rings import GRAINS, KEPT, SPANS, UNKNOWN, Rings
from analytics.slots import CHANNELS

COLUMNS = len(CHANNELS)


def empty(people: int) -> Rings:
    sums = (people, len(SPANS), COLUMNS)
    held = np.full((people, KEPT, COLUMNS), UNKNOWN, np.int16)
    return Rings(held, np.zeros(sums, np.int32), np.zeros(sums, np.int16))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, 0, 0, 1, 5, 40, 90, 300, 700]), min_size=1, max_size=60), st.integers(0, 99))
def test_a_ring_that_moves_holds_what_the_history_holds(gaps, seed):
    """`gaps` are the slots of silence after each slot that was measured."""
    draw = np.random.default_rng(seed)
    series, ring, slot = [], empty(2), 20_000 * 288 + seed
    one = np.array([1])
    for gap in gaps:
        measured = draw.normal(0.5, 3, COLUMNS)
        measured[draw.random(COLUMNS) < 0.2] = np.nan
        ring.push(one, np.array([slot]), measured[None])
        series.append(measured)
        live, whole = ring.recent(one, np.array([slot])), rings.over(np.array(series))
        for name in ("newest", "total", "known"):
            assert (getattr(live, name)[0] == getattr(whole, name)[-1]).all(), name
        if gap:
            ring.silence(one, np.array([slot]), np.array([slot + gap + 1]))
            series += [np.full(COLUMNS, np.nan)] * gap
        slot += gap + 1
    assert (ring.held[0] == UNKNOWN).all(), "the other person was not touched"


def test_a_deviation_beyond_every_limit_is_held_as_the_furthest_there_is():
    held = rings.grains(np.array([-1e9, 1e9, np.nan, 0.5]))
    assert held.tolist() == [UNKNOWN + 1, -UNKNOWN - 1, UNKNOWN, GRAINS // 2]
    assert rings.spreads(held)[3] == 0.5


def test_the_statistics_are_those_that_their_words_say():
    """Once by the definition in the docstring of `windows`, in floats and without a running sum."""
    draw = np.random.default_rng(4)
    series = np.round(draw.normal(0.4, 1.5, (400, COLUMNS)) * GRAINS) / GRAINS
    series[draw.random(series.shape) < 0.3] = np.nan
    series[380:] = np.abs(draw.normal(2, 1, (20, COLUMNS)))
    found = windows.over(series)[-1]
    clipped = np.clip(series, -4, 3)
    for column in range(COLUMNS):
        lowest = np.clip(series[-3:, column].min(), -4, 8)
        if column == windows.HEART:
            lowest -= max(np.clip(series[-9:-3, column], -4, 8).mean(), 0)
        assert found[windows.QUARTER, column] == pytest.approx(lowest, abs=0.01)
        for length, usual in windows.USUAL_SLOTS.items():
            here = clipped[-windows.WIDTH[length] :, column]
            mean = np.nansum(here) / (np.isfinite(here).sum() + usual)
            if length == windows.HOUR:
                before = clipped[-84:-12, column]
                mean -= 0.5 * max(np.nansum(before) / (np.isfinite(before).sum() + 12), 0)
            assert found[length, column] == pytest.approx(mean, abs=0.01)
