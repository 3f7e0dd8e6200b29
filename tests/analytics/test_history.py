"""A person's past as series: down-sampled, with gaps as gaps."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.history import sampling, series
from ingestion.lake import append, open_readings
from tests.analytics.readings import ALICE, NOON, reading, table

HOUR = 3600


def stored(lake, *rows):
    append(open_readings(lake), table(rows), topic_id="t", begin={0: 0}, end={0: len(rows)})


def heart_rate(lake, seconds=HOUR, points=600):
    """Alice's heart rate from NOON on."""
    period = {"start": NOON, "end": NOON + timedelta(seconds=seconds)}
    person = {"organisation": "0" * 8, "subject": ALICE}
    return series(lake, **person, **period, vitals=["heart_rate"], points=points)["heart_rate"]


def seconds_of(found):
    return ((found.times - np.datetime64(NOON.replace(tzinfo=None))) / np.timedelta64(1, "s")).tolist()


def test_few_readings_are_drawn_as_they_are(lake):
    stored(lake, reading(120, heart_rate=64), reading(0, heart_rate=60), reading(60, heart_rate=62))
    found = heart_rate(lake)
    assert seconds_of(found) == [0, 60, 120]
    assert found.values.tolist() == found.lows.tolist() == found.highs.tolist() == [60, 62, 64]
    assert found.count == 3


def test_many_readings_become_means_that_keep_their_extremes(lake):
    stored(lake, *(reading(i, heart_rate=100 if i == 57 else 60) for i in range(120)))
    found = heart_rate(lake, seconds=120, points=2)
    assert seconds_of(found) == [29.5, 89.5]
    assert found.values.tolist() == pytest.approx([60 + 40 / 60, 60])
    assert (found.lows.tolist(), found.highs.tolist()) == ([60, 60], [100, 60])
    assert found.count == 120


def test_silence_longer_than_three_expected_intervals_breaks_the_line(lake):
    stored(lake, *(reading(at, heart_rate=60) for at in (0, 60, 60 + 180, 240 + 181, 500)))
    found = heart_rate(lake)
    assert np.isnan(found.values).tolist() == [False, False, False, True, False, False]
    assert np.isnan(found.lows).tolist() == np.isnan(found.highs).tolist() == np.isnan(found.values).tolist()
    times = seconds_of(found)
    assert times == sorted(times)
    assert 240 < times[3] < 421


def test_a_vital_that_was_not_measured_has_no_points_and_hides_no_other(lake):
    stored(lake, reading(0, heart_rate=60), reading(1, spo2=97), reading(60, heart_rate=62))
    assert heart_rate(lake).values.tolist() == [60, 62]
    period = {"start": NOON, "end": NOON + timedelta(hours=1)}
    found = series(lake, organisation="0" * 8, subject=ALICE, vitals=["spo2", "weight"], **period)
    assert found["spo2"].count == 1
    assert (found["weight"].count, found["weight"].times.tolist()) == (0, [])


samples = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(40, 180)), min_size=1, max_size=60, unique_by=lambda s: s[0]
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("empty"))


@given(samples, st.integers(1, 40), st.integers(5001, 9000))
def test_a_series_keeps_order_extremes_mean_and_limit(empty, sent, points, seconds):
    rows = table(reading(at, heart_rate=rate) for at, rate in sorted(sent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "read", lambda lake, **asked: rows)
        found = heart_rate(empty, seconds=seconds, points=points)
    drawn = ~np.isnan(found.values)
    assert 1 <= drawn.sum() <= points
    assert found.count == len(sent)
    assert (np.diff(found.times.astype(np.int64)) > 0).all()
    assert found.lows[drawn].min() == min(rate for _, rate in sent)
    assert found.highs[drawn].max() == max(rate for _, rate in sent)
    assert (found.lows[drawn] <= found.values[drawn] + 1e-9).all()
    assert (found.values[drawn] <= found.highs[drawn] + 1e-9).all()
    assert drawn[0]  # a line neither begins nor ends with a gap
    assert drawn[-1]
