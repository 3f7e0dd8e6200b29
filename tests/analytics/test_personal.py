"""The personal layer: the same episodes in any batching and after a restart, explained, and kept back by a tag."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import slots, windows
from analytics.personal import Batch, Models, Personal, Tag
from analytics.slots import CHANNELS, SLOTS_A_DAY, Slots
from analytics.windows import Edges

ALICE, BELLA = "a" * 32, "b" * 32
DAY = 86_400_000_000
EDGES = Edges(np.full((len(windows.LENGTHS), len(CHANNELS)), 5.0), np.full(2, 4.0))


def days(count: int, seed: int = 1) -> Slots:
    draw = np.random.default_rng(seed)
    n = count * SLOTS_A_DAY
    hour = np.arange(n) // 12 % 24
    values = np.column_stack([66 + 4 * (hour > 8), np.full(n, 15.0), np.full(n, 97.0), np.full(n, 33.5)])
    values += draw.normal(0, [3, 1, 0.6, 0.2], values.shape)
    return Slots(values, np.zeros(n), hour)


@pytest.fixture(scope="module")
def models() -> Models:
    model = windows.fit(days(14))
    return Models({ALICE: model, BELLA: model}, EDGES, "v1")


def batch(seconds, values, who=ALICE, steps=0.0, start=20_000 * DAY):
    n = len(seconds)
    return Batch(
        [ALICE, BELLA],
        np.where(np.asarray(who) == ALICE, 0, 1) * np.ones(n, int),
        start + (np.asarray(seconds) * 1e6).astype(np.int64),
        np.zeros(n, np.int64),
        np.asarray(values, float),
        np.broadcast_to(np.asarray(steps, float), (n,)),
    )


def part(whole: Batch, a: int, b: int) -> Batch:
    return Batch(whole.subjects, *(getattr(whole, f)[a:b] for f in ("person", "at", "offset", "values", "steps")))


def ill(hours=8, heart_rate=30.0, saturation=-4.0):
    """Calm for two hours, then ill."""
    made = days(1, seed=2).values[: hours * 12].copy()
    made[24:] += [heart_rate, 4, saturation, 0.5]
    return batch(np.arange(len(made)) * 300 + 60, made)


def test_an_illness_opens_an_episode_that_says_what_is_unusual_and_against_what(models):
    steps, _ = Personal(models).take(ill())
    opened = {t.cause: t for t in steps if t.step == "opened"}
    assert "personal:heart_rate:high" in opened
    first = opened["personal:heart_rate:high"]
    since = datetime.fromtimestamp(20_000 * 86_400 + 2 * 3600, UTC)
    assert 0 < (first.at - since).total_seconds() <= 3600
    shown = first.evidence
    value = shown["values"]["heart_rate"]
    assert value["value"] > value["usual_high"] > 66 > value["usual_low"]
    assert (shown["model"], shown["days"], value["share"], shown["rule"]) == ("v1", 14, 1.0, "Personal range")
    together = opened["personal:together"].evidence["values"]
    assert sum(v["share"] for v in together.values()) == pytest.approx(1, abs=0.03)


def test_calm_days_open_nothing(models):
    calm = days(3, seed=5).values
    assert Personal(models).take(batch(np.arange(len(calm)) * 300, calm)) == ([], [])


def test_somebody_without_a_model_is_not_alerted(models):
    made = ill()
    assert Personal(Models({}, EDGES, "v0")).take(made) == ([], [])


def test_one_wild_slot_opens_nothing(models):
    calm = days(1, seed=7).values
    calm[100] += [120, 20, -20, 0]
    assert Personal(models).take(batch(np.arange(len(calm)) * 300, calm)) == ([], [])


def test_walking_is_not_an_illness(models):
    made = days(1, seed=2).values[:60].copy()
    made[24:] += [50, 8, -5, 0]
    walking = np.where(np.arange(60) >= 24, 400.0, 0.0)
    opened, _ = Personal(models).take(batch(np.arange(60) * 300, made, steps=walking))
    assert not [t for t in opened if "heart_rate" in t.cause or "spo2" in t.cause]


def test_a_tag_keeps_the_episode_back_with_its_reason_and_only_while_it_holds(models):
    whole = ill(hours=12)
    layer = Personal(models)
    layer.tags_are({ALICE: [Tag("ill", 20_000 * DAY, 20_000 * DAY + 6 * 3_600_000_000)]})
    steps, kept = layer.take(whole)
    assert {(k.cause, k.tag) for k in kept} >= {("personal:heart_rate:high", "ill")}
    assert len({k.cause for k in kept}) == len(kept)
    assert min(t.at for t in steps).hour == 6  # still unusual when the tag ended


def test_an_episode_ends_when_it_has_been_calm_for_long_enough(models):
    made = days(2, seed=3).values.copy()
    made[24:48] += [40, 0, 0, 0]
    steps, _ = Personal(models).take(batch(np.arange(len(made)) * 300, made))
    mine = [t for t in steps if t.cause == "personal:heart_rate:high"]
    assert [t.step for t in mine][:2] == ["opened", "ended"]
    assert (mine[1].at - mine[0].at).total_seconds() >= 2 * 3600


def test_the_live_windows_are_those_of_the_history(models):
    """What is learned from (slots of history) and what is compared with it (live) must be the same numbers."""
    history = days(1, seed=9)
    moving = np.where(np.arange(SLOTS_A_DAY) % 40 < 3, 300.0, 0.0)
    history = Slots(history.values, moving, history.hour)
    layer = Personal(models)
    layer.take(batch(np.arange(SLOTS_A_DAY) * 300, history.values, steps=moving))
    layer.take(batch([SLOTS_A_DAY * 300], history.values[:1]))
    expected = slots.deviations(windows.fit(days(14)).usual, history)
    assert np.allclose(layer._state["window"][0], expected, atol=1e-4, equal_nan=True)


@st.composite
def streams(draw):
    """Readings of two people, some late, with silences, walks and an illness."""
    n = draw(st.integers(1, 120))
    noise = np.random.default_rng(draw(st.integers(0, 5)))
    gaps = draw(st.lists(st.sampled_from([30, 100, 300, 300, 300, 4000, 100_000, -400]), min_size=n, max_size=n))
    seconds = 1000 + np.cumsum(gaps)
    shift = draw(st.sampled_from([0.0, 30.0, 60.0]))
    values = noise.normal([68 + shift, 15, 97, 33.5], [3, 1, 0.6, 0.2], (n, 4))
    values[noise.random((n, 4)) < 0.1] = np.nan
    who = np.where(noise.random(n) < 0.7, ALICE, BELLA)
    return batch(seconds, values, who, np.where(noise.random(n) < 0.1, 200.0, np.nan))


@settings(max_examples=40, deadline=None)
@given(streams(), st.data())
def test_any_batching_gives_the_same_steps(models, whole, data):
    n = len(whole.at)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    layer, found = Personal(models), []
    for a, b in zip([0, *cuts], [*cuts, n], strict=True):
        found += layer.take(part(whole, a, b))[0]
    assert found == Personal(models).take(whole)[0]


@settings(max_examples=40, deadline=None)
@given(streams(), st.data())
def test_a_restart_from_any_checkpoint_gives_the_rest_of_the_steps_and_no_other(models, whole, data):
    n = len(whole.at)
    kept, decided = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    first = Personal(models)
    done = first.take(part(whole, 0, kept))[0]
    packed = first.packed()
    done += first.take(part(whole, kept, decided))[0]
    open_now = {}
    for t in done:
        open_now[t.subject, t.cause] = 0 if t.step == "ended" else t.level
    again = Personal.unpacked(packed, models)
    again.open_episodes_are((s, c, level) for (s, c), level in open_now.items() if level)
    assert again.take(part(whole, kept, decided), decide=False)[0] == []
    assert done + again.take(part(whole, decided, n))[0] == Personal(models).take(whole)[0]
