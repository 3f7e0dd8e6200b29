import numpy as np

from analytics.weight import DAY, alerts


def test_more_than_two_kilograms_in_three_days_ask_for_a_review():
    days = np.arange(6) * DAY
    assert alerts(days, np.array([80, 80.4, 81, 82.2, 82.5, 82.6])).tolist() == [False, False, False, True, True, False]


def test_a_slow_gain_and_a_day_without_weight_do_not():
    days = np.arange(6) * DAY
    assert not alerts(days, np.array([80, 80.5, np.nan, 81.5, 82, 82.5])).any()


def test_somebody_elses_weight_waits_for_the_next_reading():
    days = np.arange(4) * DAY
    assert not alerts(days, np.array([80, 95, 80, 80.1])).any()
    assert alerts(days, np.array([80, 86, 86.5, 86.6])).tolist() == [False, False, True, True]
