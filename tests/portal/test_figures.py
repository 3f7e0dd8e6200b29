"""A chart's axis of time: never parts of a second, however close together the readings lie."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from analytics.history import Series
from portal.charts.figures import figure


def drawn(*minutes: float):
    times = np.array([np.datetime64("2026-03-01T12:00", "us") + np.timedelta64(round(m * 60e6), "us") for m in minutes])
    ones = np.ones(len(times))
    series = Series("heart_rate", times, ones * 60, ones * 60, ones * 60, len(times))
    return figure(series, zone=ZoneInfo("Europe/Berlin"))["layout"]["xaxis"]


@pytest.mark.parametrize("minutes", [(15,), (14, 16), (10, 12, 20)])
def test_readings_of_some_minutes_are_shown_in_half_an_hour(minutes):
    assert drawn(*minutes)["range"] == ["2026-03-01T13:00:00", "2026-03-01T13:30:00"]


def test_a_longer_time_is_shown_as_it_is():
    assert drawn(0, 45).get("range") is None
    assert drawn().get("range") is None
