"""Deviations to learn from: what illness and its single signs do to nights, and artefacts that must not alert.

History has hardly any labelled illness, so the scorer learns from healthy nights with shifts of published size laid
over them: a respiratory infection raises resting heart rate, breathing rate and skin temperature and lowers heart rate
variability and activity for days (Mishra 2020 Nat Biomed Eng, Miller 2020 PLoS ONE, Smarr 2020 Sci Rep, Natarajan 2020
Lancet Digital Health); one sign alone may be all that a device measures. An alarm that was answered as useful is a
label of its own and needs no shift.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True, slots=True)
class Shift:
    """`nights` in a row; `by` is what is added to a channel at full height, a logarithm where that is compared.

    `builds` says that the first night has half of it.
    """

    name: str
    nights: int
    by: MappingProxyType[str, float]
    builds: bool = False


def _shift(name: str, nights: int, builds: bool = False, **by: float) -> Shift:
    return Shift(name, nights, MappingProxyType(by), builds)


ILL = (
    _shift("heart rate", 2, resting_heart_rate=8),
    _shift("skin temperature", 2, skin_temperature=0.8),
    _shift("breathing", 2, respiratory_rate=5),
    _shift("breathing, slight", 3, respiratory_rate=2),
    _shift("oxygen saturation", 2, spo2=-4),
    _shift(
        "infection",
        5,
        True,
        resting_heart_rate=6,
        hrv_rmssd=-0.33,
        respiratory_rate=1.6,
        skin_temperature=0.55,
        spo2=-0.8,
        steps=-0.8,
    ),
    _shift(
        "infection, mild",
        5,
        True,
        resting_heart_rate=3.5,
        hrv_rmssd=-0.16,
        respiratory_rate=0.9,
        skin_temperature=0.3,
        steps=-0.36,
    ),
    _shift("blood pressure", 4, systolic=20),
    _shift("glucose", 3, glucose=3),
)
ARTEFACTS = (
    _shift("one night's heart rate", 1, resting_heart_rate=12),
    _shift("one night's variability", 1, hrv_rmssd=-0.7),
    _shift("one night's breathing", 1, respiratory_rate=15),
    _shift("one night's saturation", 1, spo2=-6),
    _shift("one night's temperature", 1, skin_temperature=3),
    _shift("a hard training day", 1, resting_heart_rate=3, hrv_rmssd=-0.16, steps=0.8),
)


@dataclass(frozen=True, slots=True)
class Shifted:
    """One person's nights with a shift laid over `start` .. `start + nights - 1`."""

    values: np.ndarray
    start: int
    nights: int


def laid_over(
    values: np.ndarray, channels: Sequence[str], shifts: Sequence[Shift], draw: np.random.Generator, earliest: int
) -> Iterator[Shifted]:
    """Each shift once, somewhere at or after the night `earliest` where one of its channels was measured."""
    for shift in shifts:
        columns = [i for i, name in enumerate(channels) if name in shift.by]
        last = len(values) - shift.nights
        start = next(
            (t for t in draw.permutation(np.arange(earliest, last)) if _shows(values, t, shift, columns)), None
        )
        if start is None:
            continue
        height = np.ones(shift.nights)
        if shift.builds:
            height[0] = 0.5
        moved = values.copy()
        for column in columns:
            moved[start : start + shift.nights, column] += shift.by[channels[column]] * height
        yield Shifted(moved, int(start), shift.nights)


def _shows(values: np.ndarray, start: int, shift: Shift, columns: Sequence[int]) -> bool:
    """Whether one of the shifted channels was measured, and something on at least half of the nights."""
    nights = np.isfinite(values[start : start + shift.nights])
    return bool(nights[:, columns].any() and nights.any(axis=1).mean() >= 0.5)
