"""The shared part: monotone, learned from people, within its budget, and silent about single odd nights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import calibration, population
from analytics.baseline import PACES
from analytics.channels import NIGHTLY
from analytics.persistence import STATISTICS, statistics
from analytics.population import History

CHANNELS = ("resting_heart_rate", "hrv_rmssd", "respiratory_rate", "spo2", "skin_temperature", "steps")
SIGN = np.array([NIGHTLY[c].sign for c in CHANNELS], float)


@pytest.fixture(scope="module")
def learned():
    return population.from_published(CHANNELS, people=16, nights=60)


def people(seed, count=20, nights=70):
    return list(population.simulated(CHANNELS, count, nights, np.random.default_rng(seed)))


def alerts(learned, values):
    return np.nan_to_num(population.scores(learned, values), nan=-np.inf) >= learned.threshold


def test_illness_is_found_in_people_it_was_not_learned_from_and_calm_people_are_within_the_budget(learned):
    found, weeks, false = 0, 0.0, 0
    for i, person in enumerate(people(99)):
        false += calibration.episodes(alerts(learned, person.values))
        weeks += (len(person.values) - population.START) / 7
        sick = person.values.copy()
        sick[40 + i % 5 : 45 + i % 5] += [6, -0.33, 1.6, -0.8, 0.55, -0.8]
        found += alerts(learned, sick)[40 + i % 5 : 46 + i % 5].any()
    assert found >= 18
    assert false / weeks <= 3 * learned.budget


def test_one_odd_night_alerts_nobody(learned):
    for person in people(7):
        # The nights beside it are this person's middle ones: with an odd one there it would not be one odd night.
        person.values[[49, 51]] = np.nanmedian(person.values, axis=0)
        calm = alerts(learned, person.values)
        for channel, by in enumerate([12, -0.7, 15, -6, 3, 0]):
            odd = person.values.copy()
            odd[50, channel] += by
            assert not (alerts(learned, odd)[50:52] & ~calm[50:52]).any()


nights = st.lists(
    st.one_of(st.none(), st.floats(-6, 6)), min_size=len(STATISTICS) * len(CHANNELS), max_size=len(STATISTICS) * 6
)


@settings(max_examples=80)
@given(nights, st.data())
def test_a_worse_night_never_lowers_the_score(learned, values, data):
    one = np.array([np.nan if v is None else v for v in values]).reshape(1, len(STATISTICS), len(CHANNELS))
    worse = one + data.draw(st.floats(0, 5))
    assert learned.scorer.score(worse)[0] >= learned.scorer.score(one)[0] - 1e-9
    parts = learned.scorer.contributions(one)
    assert parts.sum() + learned.scorer.intercept == pytest.approx(learned.scorer.score(one)[0])


def test_scoring_nights_one_by_one_or_together_gives_the_same(learned):
    values = people(3, count=1)[0].values
    rows = np.arange(20, 60)
    together = statistics(values, rows, learned.prior, SIGN)
    single = [statistics(values[: r + 1], np.array([r]), learned.prior, SIGN)[0] for r in rows]
    assert np.allclose(together, single, equal_nan=True)


def test_nothing_of_later_nights_is_used(learned):
    values = people(4, count=1)[0].values
    changed = values.copy()
    changed[50:] += 100
    assert np.array_equal(
        population.scores(learned, values)[:50], population.scores(learned, changed)[:50], equal_nan=True
    )


def test_alerting_starts_when_three_nights_are_known(learned):
    values = people(5, count=1)[0].values[:8]
    values = np.where(np.isnan(values), 0, values) + np.array([c.centre for c in NIGHTLY.values()])[:6]
    found = statistics(values, np.arange(8), learned.prior, SIGN)
    assert np.isnan(found[:4]).all()
    assert np.isfinite(found[5:, 0]).any()


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=60), min_size=1, max_size=5), st.floats(0.01, 2))
def test_a_threshold_keeps_the_budget(scores, budget):
    arrays = [np.array(s) for s in scores]
    threshold = calibration.for_budget(arrays, budget)
    count = sum(calibration.episodes(s >= threshold) for s in arrays)
    assert count <= budget * sum(map(len, arrays)) / calibration.NIGHTS_A_WEEK


def test_a_wild_episode_does_not_make_the_edge_of_the_tail_deaf():
    """Of 52 weeks with a peak a day one is far off: for an alert a month the edge stays where the others are."""
    draw = np.random.default_rng(4)
    calm = [draw.exponential(1, 91) for _ in range(4)]
    expected = calibration.for_tail(calm, 0.25, 52, merge=0)
    assert 2.5 < expected < 4.5  # log(7 / 0.25) = 3.3
    calm[0][40] = 60
    assert calibration.for_tail(calm, 0.25, 52, merge=0) < expected + 1
    with pytest.raises(ValueError, match="score some history first"):
        calibration.for_tail([np.full(9, np.nan)], 0.25, 1)


def test_a_persons_own_threshold_is_never_below_the_populations():
    noisy = np.linspace(0, 4, 200)
    assert calibration.own_threshold(noisy, 1.0, 0.05) > 3.9
    assert calibration.own_threshold(noisy - 9, 1.0, 0.05) == 1.0
    assert calibration.own_threshold(noisy[-30:], 1.0, 0.05) == 1.0


def test_an_illness_among_the_healthy_nights_does_not_become_usual(learned):
    """Unlabelled history holds real illness: the fit sets the strangest nights aside."""
    spoilt = people(11, count=16, nights=60)
    spoilt[0].values[30:34] += [30, -1, 9, -6, 2, -2]
    again = population.fit([History(h.values) for h in spoilt], CHANNELS, SIGN)
    sick = people(12, count=1)[0].values
    sick[40:45] += [6, -0.33, 1.6, -0.8, 0.55, -0.8]
    assert alerts(again, sick)[40:46].any()


def test_a_channel_that_stays_where_it_was_last_night_is_followed_at_once_and_one_that_scatters_is_not():
    draw = np.random.default_rng(8)
    histories = []
    for _ in range(20):
        wandering = 62 + np.cumsum(draw.normal(0, 0.8, 90)) * 0.9
        scattering = 15 + draw.normal(0, 0.65, 90)
        histories.append(np.column_stack([wandering, scattering]))
    prior = population.prior_of(histories)
    assert prior.pace[0] == max(PACES)
    assert prior.carry[0] > 0.6 > prior.carry[1]
