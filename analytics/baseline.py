"""What is usual for one person: centre and spread of each channel before a night, from the nights before it.

The centre is the median of the last `WINDOW` nights, moved towards a recent level by the share `carry` that the
population has (resting heart rate drifts from week to week, breathing rate hardly does). The recent level is an
exponential mean that follows at the population's `pace`, and whose steps are clipped, so that a night of fever does not
become usual. The spread is the person's
own, shrunk to the population's as if that were `PRIOR_NIGHTS` nights (empirical Bayes), and widened while few nights
are known. An artefact is neither: a deviation counts for at most `CLIP` population spreads.
"""

from dataclasses import dataclass

import numpy as np

WINDOW = 60  # nights
PACES = (0.3, 0.5, 0.8)  # weight of the newest night in the recent level
STEP = 2.0  # the recent level moves by at most this many spreads towards one night
PRIOR_NIGHTS = 30.0
CLIP = 3.0
LEAST_NIGHTS = 3  # before the third night nothing is usual yet


@dataclass(frozen=True, slots=True)
class Prior:
    """What the population says of its channels, arrays (channels,): see `analytics.channels.Channel`.

    `pace` is one of PACES: how fast the recent level follows.
    """

    within: np.ndarray
    carry: np.ndarray
    pace: np.ndarray


@dataclass(frozen=True, slots=True)
class Usual:
    """Per asked night and channel, (n, channels): centre and spread known before it, and the nights behind them."""

    centre: np.ndarray
    spread: np.ndarray
    nights: np.ndarray


def usual(values: np.ndarray, rows: np.ndarray, prior: Prior) -> Usual:
    """What was usual before each of `rows` (indices into `values` (nights, channels), NaN for not measured).

    Nothing of the night itself or of later ones is used. `rows` may be one past the end: that is tonight.
    """
    recent = _recent(values, prior)
    channels = values.shape[1]
    before = np.full((WINDOW, channels), np.nan)
    window = rows[:, None] + np.arange(WINDOW)
    nights = np.concatenate([before, values])[window]
    levels = np.concatenate([before, recent[:-1]])[window]
    middle, known = median(nights)
    levels = np.where(np.isfinite(levels), levels, middle[:, None])
    off = nights - (middle[:, None] + prior.carry * (levels - middle[:, None]))
    off = np.clip(np.where(np.isfinite(off), off, 0), -CLIP * prior.within, CLIP * prior.within)
    variance = ((off**2).sum(axis=1) + PRIOR_NIGHTS * prior.within**2) / (known + PRIOR_NIGHTS)
    last = np.where(np.isfinite(recent[rows]), recent[rows], middle)
    enough = known >= LEAST_NIGHTS
    return Usual(
        centre=np.where(enough, middle + prior.carry * (last - middle), np.nan),
        spread=np.sqrt(variance * (1 + 1 / np.maximum(known, 1))),
        nights=known,
    )


def _recent(values: np.ndarray, prior: Prior) -> np.ndarray:
    """The recent level known before each night and before tonight, (nights + 1, channels)."""
    levels = np.full((len(values) + 1, values.shape[1]), np.nan)
    level, most = levels[0], STEP * prior.within
    for night, value in enumerate(values):
        moved = level + prior.pace * np.clip(value - level, -most, most)
        level = np.where(np.isfinite(value), np.where(np.isfinite(level), moved, value), level)
        levels[night + 1] = level
    return levels


def middle(values: np.ndarray) -> np.ndarray:
    """The median of the known values along axis 0; NaN where none is known."""
    flat = values.reshape(1, len(values), -1)
    return median(flat)[0].reshape(values.shape[1:])


def median(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and count of the known values along axis 1 of (n, width, channels); NaN where none is known."""
    ordered = np.sort(windows, axis=1)
    known = np.isfinite(windows).sum(axis=1)
    low = np.take_along_axis(ordered, (np.maximum(known - 1, 0) // 2)[:, None], axis=1)[:, 0]
    high = np.take_along_axis(ordered, np.minimum(known // 2, windows.shape[1] - 1)[:, None], axis=1)[:, 0]
    return np.where(known > 0, (low + high) / 2, np.nan), known
