"""Statistics of the last minutes and hours of one person's slots, and the personal model that compares them.

A sudden change shows in the lowest of a quarter of an hour or the middle of half an hour, a slow one in the mean of an
hour, of six, or of a day. Each is compared with how much this person's own statistic of that length and channel varies
on calm days, so that "unusual" means the same at every length. Two more sum up the channels: many slightly off
together, over an hour and over six.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics import slots
from analytics.baseline import median, middle
from analytics.calibration import for_budget
from analytics.slots import SLOTS_A_DAY, SlotModel, Slots

KEPT = SLOTS_A_DAY  # slots that a window holds
LENGTHS = ("15 minutes", "30 minutes", "1 hour", "6 hours", "24 hours")
QUARTER, HALF, HOUR, SIX, DAY = range(len(LENGTHS))
MEANS = {HOUR: (12, 6), SIX: (72, 24), DAY: (SLOTS_A_DAY, 96)}  # slots, and how many of them must be known
CLIP = (-4.0, 8.0)
PRIOR_SCALE = np.array([0.8, 0.8, 0.8, 0.6, 0.5])[:, None]
PRIOR_DAYS = 10.0
TOGETHER = (HOUR, SIX)
MOST = 4.0  # what one channel can add to the sum
EVERY = 12  # a scale is learned from one slot an hour: neighbours say the same
LEAST_EDGE = 2.5
WEEK = 7 * SLOTS_A_DAY
MERGE = SLOTS_A_DAY // 2


@dataclass(frozen=True, slots=True)
class StreamModel:
    """One person's part: what is usual, and centre and scale (LENGTHS, CHANNELS) of every statistic on calm days."""

    usual: SlotModel
    middle: np.ndarray
    scale: np.ndarray
    days: int

    def nbytes(self) -> int:
        """Bytes as stored, in float32."""
        arrays = (self.usual.centre, self.usual.spread, self.usual.recovery, self.middle, self.scale)
        return 4 * sum(a.size for a in arrays)


@dataclass(frozen=True, slots=True)
class Edges:
    """The shared part: the value of each statistic (LENGTHS, CHANNELS), and of each sum (2,), that is an alert."""

    single: np.ndarray
    together: np.ndarray


def statistics(window: np.ndarray) -> np.ndarray:
    """(n, LENGTHS, CHANNELS) of windows of deviations (n, KEPT, CHANNELS), newest last; NaN: too little is known."""
    window = np.clip(window, *CLIP)
    found = np.full((len(window), len(LENGTHS), window.shape[2]), np.nan)
    found[:, QUARTER] = window[:, -3:].min(axis=1)  # NaN if one of them is
    half, known = median(window[:, -6:])
    found[:, HALF] = np.where(known >= 5, half, np.nan)
    measured = np.isfinite(window)
    zeroed = np.where(measured, window, 0)
    for length, (width, least) in MEANS.items():
        count = measured[:, -width:].sum(axis=1)
        found[:, length] = np.where(count >= least, zeroed[:, -width:].sum(axis=1) / np.maximum(count, 1), np.nan)
    return found


def fit(history: Slots) -> StreamModel:
    """The personal part, from some weeks of slots."""
    usual = slots.fit(history)
    found = over(slots.deviations(usual, history), EVERY)
    centre = np.nan_to_num(middle(found))
    own = np.nan_to_num(1.4826 * middle(np.abs(found - centre)))
    days = np.isfinite(found).sum(axis=0) * EVERY / SLOTS_A_DAY
    scale = np.sqrt((days * own**2 + PRIOR_DAYS * PRIOR_SCALE**2) / (days + PRIOR_DAYS))
    return StreamModel(usual, centre * days / (days + PRIOR_DAYS), scale, len(history.hour) // SLOTS_A_DAY)


def over(deviations: np.ndarray, every: int = 1) -> np.ndarray:
    """The statistics after each slot (or every so many) of a series (n, CHANNELS), as if it began with a gap."""
    padded = np.concatenate([np.full((KEPT - 1, deviations.shape[1]), np.nan), deviations])
    windows = np.moveaxis(np.lib.stride_tricks.sliding_window_view(padded, KEPT, axis=0), 2, 1)[::every]
    parts = [statistics(windows[i : i + 512]) for i in range(0, len(windows), 512)]
    return np.concatenate(parts) if parts else np.empty((0, len(LENGTHS), deviations.shape[1]))


def unusual(model_middle: np.ndarray, model_scale: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Statistics in the person's own scale, (n, LENGTHS, CHANNELS), and the sums over channels, (n, 2)."""
    single = (found - model_middle) / model_scale
    worse = np.clip(np.where(np.isfinite(single), single, 0), 0, MOST)
    known = np.isfinite(single).sum(axis=2)
    together = (worse.sum(axis=2) / np.sqrt(np.maximum(known, 1)))[:, TOGETHER]
    return single, together


def score(edges: Edges, single: np.ndarray, together: np.ndarray) -> np.ndarray:
    """(n,): 1 is an alert. The largest statistic in terms of its edge, so monotone in every one; 0 if none is known."""
    worst = np.where(np.isfinite(single), single, 0) / edges.single
    highest: np.ndarray = np.maximum(worst.max(axis=(1, 2)), (together / edges.together).max(axis=1))
    return highest


def edges(calm: Sequence[tuple[np.ndarray, np.ndarray]], budget: float) -> Edges:
    """The edges at which every statistic alone alerts `budget` times a week and person.

    `calm` has what `unusual` gave for each person's slots in order.
    """
    single = np.empty(calm[0][0].shape[1:])
    for length in range(single.shape[0]):
        for channel in range(single.shape[1]):
            single[length, channel] = _edge([s[:, length, channel] for s, _ in calm], budget)
    return Edges(single, np.array([_edge([t[:, i] for _, t in calm], budget) for i in range(len(TOGETHER))]))


def _edge(scores: Sequence[np.ndarray], budget: float) -> float:
    if not any(np.isfinite(s).any() for s in scores):
        return np.inf
    return max(LEAST_EDGE, for_budget(scores, budget, merge=MERGE, per_week=WEEK))
