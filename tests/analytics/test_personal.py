"""The personal layer: the same episodes in any batching and after a restart, explained, and kept back by a tag."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import slots, windows
from analytics.batch import Batch
from analytics.personal import Personal, Tag
from analytics.rings import GRAINS
from analytics.slots import CHANNELS, SLOTS_A_DAY, Slots
from analytics.terms import COLUMN, WATCHED, Term, Terms
from analytics.versions import Models, Version
from analytics.windows import START_EDGES, Edges

ALICE, BELLA = "a" * 32, "b" * 32
DAY = 86_400_000_000
EDGES = START_EDGES


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
    return Models([Version("v1", {ALICE: model, BELLA: model}, EDGES)])


def layer_of(models, packed=None):
    layer = Personal(models) if packed is None else Personal.unpacked(packed, models)
    layer.terms_are(Terms([Term(ALICE), Term(BELLA)]))
    return layer


def batch(seconds, values, who=ALICE, steps=0.0, start=20_000 * DAY):
    n = len(seconds)
    at = start + (np.asarray(seconds) * 1e6).astype(np.int64)
    watched = np.full((n, len(WATCHED)), np.nan)
    watched[:, [COLUMN[name] for name in CHANNELS]] = values
    return Batch(
        [ALICE, BELLA],
        ["watch"],
        np.where(np.asarray(who) == ALICE, 0, 1) * np.ones(n, int),
        np.zeros(n, int),
        at,
        at,
        np.zeros(n, np.int64),
        watched,
        np.broadcast_to(np.asarray(steps, float), (n,)),
    )


def part(whole: Batch, a: int, b: int) -> Batch:
    columns = ("person", "device", "at", "received", "offset", "values", "steps")
    return Batch(whole.subjects, whole.devices, *(getattr(whole, f)[a:b] for f in columns))


def ill(hours=8, heart_rate=30.0, saturation=-4.0):
    """Calm for two hours, then ill."""
    made = days(1, seed=2).values[: hours * 12].copy()
    made[24:] += [heart_rate, 4, saturation, 0.5]
    return batch(np.arange(len(made)) * 300 + 60, made)


def test_an_illness_opens_an_episode_that_says_what_is_unusual_and_against_what(models):
    steps, _ = layer_of(models).take(ill())
    opened = {t.cause: t for t in steps if t.step == "opened"}
    assert "personal:heart_rate:high" in opened
    first = opened["personal:heart_rate:high"]
    since = datetime.fromtimestamp(20_000 * 86_400 + 2 * 3600, UTC)
    assert 0 < (first.at - since).total_seconds() <= 3600
    shown = first.evidence
    value = shown["values"]["heart_rate"]
    assert value["value"] > value["usual_high"] > 66 > value["usual_low"]
    assert (shown["model"], shown["days"], value["share"], shown["rule"]) == ("v1", 14, 1.0, "Personal range")
    assert (value["direction"], value["device_id"]) == ("high", "watch")
    together = opened["personal:together"].evidence["values"]
    assert sum(v["share"] for v in together.values()) == pytest.approx(1, abs=0.03)


def test_calm_days_open_nothing(models):
    calm = days(3, seed=5).values
    assert layer_of(models).take(batch(np.arange(len(calm)) * 300, calm)) == ([], [])


def test_saturation_in_whole_per_cent_is_no_alert_one_step_below_usual():
    """Its median deviation is 0 at many hours of the day."""

    def whole(count, seed):
        calm = days(count, seed)
        calm.values[:, 2] = np.round(97.6 + np.random.default_rng(seed).normal(0, 0.35, len(calm.hour)))
        return calm

    models = Models([Version("v1", {ALICE: windows.fit(whole(7, 1))}, START_EDGES)])
    calm = whole(5, 2).values
    assert layer_of(models).take(batch(np.arange(len(calm)) * 300, calm)) == ([], [])


def test_somebody_without_a_model_is_not_alerted(models):
    made = ill()
    assert layer_of(Models([])).take(made) == ([], [])


def test_somebody_without_an_active_plan_is_not_alerted(models):
    layer = layer_of(models)
    layer.terms_are(Terms([Term(ALICE, paused_from=0)]))
    assert layer.take(ill()) == ([], [])


def test_each_reading_is_judged_by_the_version_in_force_when_it_was_received(models):
    """A replay after a promotion must judge old readings as they were judged then."""
    model, deaf = windows.fit(days(14)), Edges(EDGES.single * 100, EDGES.together * 100)
    whole = ill(hours=12)
    at_six = 20_000 * DAY + 6 * 3_600_000_000
    later = Models([Version("v1", {ALICE: model}, deaf), Version("v2", {ALICE: model}, EDGES, since=at_six)])
    opened, _ = layer_of(later).take(whole)
    assert {t.evidence["model"] for t in opened} == {"v2"}
    assert min(t.at for t in opened).hour == 6
    gone = Models([Version("v1", {ALICE: model}, EDGES), Version("v2", {}, EDGES, since=at_six)])
    assert {t.at.hour for t in layer_of(gone).take(whole)[0] if t.step == "opened"} <= {2, 3, 4, 5}


def test_one_wild_slot_opens_nothing(models):
    calm = days(1, seed=7).values
    calm[100] += [120, 20, -20, 0]
    assert layer_of(models).take(batch(np.arange(len(calm)) * 300, calm)) == ([], [])


def test_a_heart_that_jumps_at_rest_is_told_within_a_quarter_of_an_hour_and_one_that_climbs_is_not(models):
    jumps, climbs = days(1, seed=7).values[:60], days(1, seed=7).values[:60]
    jumps[40:46, 0] += 35
    climbs[12:, 0] += np.minimum(np.arange(48) / 36, 1) * 8
    (opened,), _ = layer_of(models).take(batch(np.arange(46) * 300, jumps[:46]))
    assert opened.cause == "personal:heart_rate:high"
    assert opened.evidence["window"] == "15 minutes"
    assert (opened.at.timestamp() - 20_000 * 86_400) / 300 == 43
    assert layer_of(models).take(batch(np.arange(60) * 300, climbs)) == ([], [])


def test_an_hour_that_was_never_measured_has_nothing_usual(models):
    """A watch that was worn by day only says nothing of the first night it is worn."""
    worn = days(14)
    worn.values[(worn.hour < 8) | (worn.hour >= 22)] = np.nan
    model = windows.fit(worn)
    assert np.isnan(model.usual.centre[2]).all()
    assert np.isfinite(model.usual.centre[9]).all()
    layer = layer_of(Models([Version("v1", {ALICE: model}, EDGES)]))
    night = days(1, seed=3).values[: 7 * 12] + np.array([25, 3, 0, 1.5])
    assert layer.take(batch(np.arange(len(night)) * 300, night)) == ([], [])


def test_an_episode_that_ends_at_such_an_hour_still_shows_numbers(models):
    worn = days(14)
    worn.values[(worn.hour < 8) | (worn.hour >= 22)] = np.nan
    layer = layer_of(Models([Version("v1", {ALICE: windows.fit(worn)}, EDGES)]))
    evening = days(1, seed=3).values[20 * 12 :]
    evening[12:18, 0] += 35
    steps, _ = layer.take(batch(np.arange(len(evening)) * 300, evening, start=20_000 * DAY + 20 * 3_600_000_000))
    ended = [t for t in steps if t.step == "ended" and t.cause == "personal:heart_rate:high"]
    assert {t.at.hour for t in ended} == {23}
    for transition in ended:
        assert all(np.isfinite(v["value"]) for v in transition.evidence["values"].values())


def test_walking_is_not_an_illness(models):
    made = days(1, seed=2).values[:60].copy()
    made[24:] += [50, 8, -5, 0]
    walking = np.where(np.arange(60) >= 24, 400.0, 0.0)
    opened, _ = layer_of(models).take(batch(np.arange(60) * 300, made, steps=walking))
    assert not [t for t in opened if "heart_rate" in t.cause or "spo2" in t.cause]


def test_a_tag_keeps_the_episode_back_with_its_reason_and_only_while_it_holds(models):
    whole = ill(hours=12)
    layer = layer_of(models)
    layer.tags_are({ALICE: [Tag("ill", 20_000 * DAY, 20_000 * DAY + 6 * 3_600_000_000)]})
    steps, kept = layer.take(whole)
    assert {(k.cause, k.tag) for k in kept} >= {("personal:heart_rate:high", "ill")}
    assert len({k.cause for k in kept}) == len(kept)
    assert min(t.at for t in steps).hour == 6  # still unusual when the tag ended


def test_an_episode_ends_when_it_has_been_calm_for_long_enough(models):
    made = days(2, seed=3).values.copy()
    made[24:48] += [40, 0, 0, 0]
    steps, _ = layer_of(models).take(batch(np.arange(len(made)) * 300, made))
    mine = [t for t in steps if t.cause == "personal:heart_rate:high"]
    assert [t.step for t in mine][:2] == ["opened", "ended"]
    assert (mine[1].at - mine[0].at).total_seconds() >= 2 * 3600


def test_the_live_windows_are_those_of_the_history(models):
    """What is learned from (slots of history) and what is compared with it (live) must be the same numbers."""
    history = days(1, seed=9)
    moving = np.where(np.arange(SLOTS_A_DAY) % 40 < 3, 300.0, 0.0)
    history = Slots(history.values, moving, history.hour)
    layer = layer_of(models)
    layer.take(batch(np.arange(SLOTS_A_DAY) * 300, history.values, steps=moving))
    layer.take(batch([SLOTS_A_DAY * 300], history.values[:1]))
    expected = slots.deviations(windows.fit(days(14)).usual, history)
    assert np.allclose(layer.last_day(ALICE), expected, atol=1 / GRAINS, equal_nan=True)


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
    layer, found = layer_of(models), []
    for a, b in zip([0, *cuts], [*cuts, n], strict=True):
        found += layer.take(part(whole, a, b))[0]
    assert found == layer_of(models).take(whole)[0]


@settings(max_examples=40, deadline=None)
@given(streams(), st.data())
def test_a_restart_from_any_checkpoint_gives_the_rest_of_the_steps_and_no_other(models, whole, data):
    n = len(whole.at)
    kept, decided = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    first = layer_of(models)
    done = first.take(part(whole, 0, kept))[0]
    packed = first.packed()
    done += first.take(part(whole, kept, decided))[0]
    open_now = {}
    for t in done:
        open_now[t.subject, t.cause] = 0 if t.step == "ended" else t.level
    again = layer_of(models, packed)
    again.open_episodes_are((s, c, level) for (s, c), level in open_now.items() if level)
    assert again.take(part(whole, kept, decided), decide=False)[0] == []
    assert done + again.take(part(whole, decided, n))[0] == layer_of(models).take(whole)[0]
