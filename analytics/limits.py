"""NEWS2, the National Early Warning Score (Royal College of Physicians, 2017), as array code.

Absolute limits need no model and no history. A score from fewer than all seven inputs is said to be partial.
NEWS2 is not valid under 16 and in pregnancy; a monitoring plan then switches it off.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analytics.episodes import Level

# The order of the columns in every (n, 7) array of this module.
INPUTS = (
    "respiratory_rate",
    "spo2",
    "supplemental_oxygen",
    "systolic",
    "heart_rate",
    "consciousness",
    "temperature",
)
RESPIRATION, SPO2, OXYGEN, SYSTOLIC, PULSE, CONSCIOUSNESS, TEMPERATURE = range(7)

# Upper edges of the bands (a value up to and including the edge is in the band), and the points of each band.
_BANDS: dict[int, tuple[tuple[float, ...], tuple[int, ...]]] = {
    RESPIRATION: ((8, 11, 20, 24), (3, 1, 0, 2, 3)),
    SPO2: ((91, 93, 95), (3, 2, 1, 0)),
    SYSTOLIC: ((90, 100, 110, 219), (3, 2, 1, 0, 3)),
    PULSE: ((40, 50, 90, 110, 130), (3, 1, 0, 1, 2, 3)),
    TEMPERATURE: ((35.0, 36.0, 38.0, 39.0), (3, 1, 0, 1, 2)),
}
# Scale 2, for a target of 88-92 % in hypercapnic respiratory failure; the upper bands count on oxygen only.
_SPO2_SCALE_2 = ((83, 85, 87, 92, 94, 96), (3, 2, 1, 0, 1, 2, 3))


def points(values: np.ndarray, scale_2: np.ndarray) -> np.ndarray:
    """NEWS2 points, int8 (n, 7), of `values` float (n, 7) in the order of INPUTS.

    NaN means not measured and scores 0. Oxygen is 1 if given; consciousness is 0 if alert, else 1 (new confusion,
    voice, pain, unresponsive). `scale_2` says for which of the n SpO2 scale 2 is prescribed. Values between the
    printed steps of the chart are rounded to them first: whole numbers, tenths for the temperature.
    """
    scored = np.zeros(values.shape, np.int8)
    known = ~np.isnan(values)
    rounded = np.floor(np.where(known, values, 0) + 0.5)
    tenths = np.floor(np.where(known, values, 0) * 10 + 0.5 + 1e-6) / 10
    for column, (edges, band_points) in _BANDS.items():
        steps = tenths if column == TEMPERATURE else rounded
        scored[:, column] = np.take(band_points, np.searchsorted(edges, steps[:, column], side="left"))
    if scale_2.any():
        edges, band_points = _SPO2_SCALE_2
        second = np.take(band_points, np.searchsorted(edges, rounded[:, SPO2], side="left"))
        on_air = ~(values[:, OXYGEN] == 1)
        second[on_air & (rounded[:, SPO2] > 92)] = 0
        scored[:, SPO2] = np.where(scale_2, second, scored[:, SPO2])
    scored[:, OXYGEN] = np.where(values[:, OXYGEN] == 1, 2, 0)
    scored[:, CONSCIOUSNESS] = np.where(values[:, CONSCIOUSNESS] == 1, 3, 0)
    return np.where(known, scored, 0).astype(np.int8)


def levels(scored: np.ndarray) -> np.ndarray:
    """NEWS2's clinical risk, int8 (n,) of `Level`, of points (n, 7): sum of 7, sum of 5, or a single 3."""
    total = scored.sum(axis=1)
    single = (scored == 3).any(axis=1)
    return np.select([total >= 7, total >= 5, single], [Level.HIGH, Level.MEDIUM, Level.LOW_MEDIUM], Level.NONE).astype(
        np.int8
    )


@dataclass(frozen=True, slots=True)
class News2:
    """One person's score. `points` has the inputs that were known; `partial` says that some of the seven were not."""

    score: int
    points: dict[str, int]
    inputs: int
    partial: bool
    level: Level


def news2(values: Mapping[str, float | str | bool], scale: int = 1) -> News2:
    """Score one person from values by vital; pass only values that are fresh enough to stand for the present."""
    known = [name for name in INPUTS if values.get(name) is not None]
    row = np.array([[encode(name, values[name]) if name in known else np.nan for name in INPUTS]])
    scored = points(row, np.array([scale == 2]))
    return News2(
        score=int(scored.sum()),
        points={name: int(scored[0, INPUTS.index(name)]) for name in known},
        inputs=len(known),
        partial=len(known) < len(INPUTS),
        level=Level(int(levels(scored)[0])),
    )


def encode(name: str, value: float | str | bool) -> float:
    """A value as a number: consciousness is 0 for alert and 1 for everything else."""
    if name == "consciousness":
        return float(value != "A")
    return float(value)
