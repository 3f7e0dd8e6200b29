"""Whether `python -m tests.faults.steady`, which `.ci/run` runs for three minutes, can tell growth from noise."""

import numpy as np
import pytest

from tests.faults import steady


def test_growth_is_told_from_noise_and_from_the_beginning():
    at = np.arange(600.0)
    noise = np.random.default_rng(1).normal(0, 3, 600)
    warming = np.where(at < 150, at, 150)
    flat = steady.slope("door", at, 100 + warming + noise)
    growing = steady.slope("door", at, 100 + warming + noise + at / 10)
    assert abs(flat["door_growth"]) < 0.01
    assert growing["door_mb_per_hour"] == pytest.approx(360, rel=0.05)
    figures = {"kept_p99_s": 1.0, "lost": 0, "doubled": 0, "archiver_growth": 0.0}
    assert steady.is_well(figures | flat)
    assert not steady.is_well(figures | growing)
