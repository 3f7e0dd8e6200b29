"""Statistics of the last minutes and hours of one person's slots, and the edges that make an alert of them.

A sudden change shows in the lowest of a quarter of an hour, a slow one in the mean of an hour, of three, of six, or of
a day. A mean is filled up with a few usual slots, so that little says little, and a deviation beyond `CLIP` says no
more, so that half an hour of a wild sensor does not colour a day.

Two of them look back as well. The heart of a person at rest rises slowly or after steps; the lowest of a quarter of an
hour counts above the half hour before it, which is what a sudden tachycardia looks like and an excited evening does
not. The last hour counts above half of the six hours before it, which takes off most of a day that is off as a whole.

Two more sum up the channels: many slightly off together, over an hour and over three.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics import rings, slots
from analytics.calibration import for_tail
from analytics.rings import CLIP, GRAINS, KEPT, SPANS, UNKNOWN, Recent
from analytics.slots import HEART, SKIN, SLOTS_A_DAY, SlotModel, Slots

LENGTHS = ("15 minutes", "1 hour", "3 hours", "6 hours", "24 hours")
QUARTER, HOUR, THREE, SIX, DAY = range(len(LENGTHS))
WIDTH = (3, 12, 36, 72, KEPT)  # slots
LEAST, SUDDEN_CLIP = CLIP[0] / GRAINS, 8.0  # of a quarter of an hour
USUAL_SLOTS = {HOUR: 2.0, THREE: 5.0, SIX: 8.0, DAY: 24.0}  # usual ones that a mean is filled up with
HALF_HOUR, LEAST_BEFORE = 6, 3  # slots before a quarter of an hour, and how many of them must be known
BEFORE, BEFORE_USUAL, CARRY = 72, 12.0, 0.5  # slots before an hour, usual ones they are filled up with, what counts
TOGETHER = (HOUR, THREE)
# What each of these reaches once in three weeks, over an hour and over three, on the development data of
# docs/detection.md: one channel's unit in the sum. `MOST` is the most that one channel adds.
UNIT = np.array([[2.13, 1.77, 1.38, 1.95], [1.90, 1.51, 1.15, 2.14]])
MOST = 1.5
SLOW = (HEART, SKIN)  # channels of which a slow change shows in the mean of a day and in nothing else
WEEK = 7 * SLOTS_A_DAY
MERGE = SLOTS_A_DAY // 2


@dataclass(frozen=True, slots=True)
class StreamModel:
    """One person's part: what is usual, and the days it was learned from."""

    usual: SlotModel
    days: int

    def nbytes(self) -> int:
        """Bytes as stored, in float32."""
        return 4 * (self.usual.centre.size + self.usual.spread.size + self.usual.recovery.size)


@dataclass(frozen=True, slots=True)
class Edges:
    """The shared part: the value of each statistic (LENGTHS, CHANNELS), and of each sum (2,), that is an alert."""

    single: np.ndarray
    together: np.ndarray


# Before an organisation has calibrated its own: 6 % above the edges at which the development data of docs/detection.md
# (12 user-weeks, of which only heart rate and steps were really measured) alert 0.5 times a week and person. At those,
# people that the edges were not learned from alerted 0.8 times a week, at these 0.6 times.
START_EDGES = Edges(
    single=np.array(
        [
            [3.0, 3.7, 3.0, 4.3],
            [2.85, 2.2, 1.8, 2.75],
            [2.6, 1.85, 1.5, 2.95],
            [2.6, 1.6, 1.2, 2.85],
            [0.9, 1.2, 0.8, 1.5],
        ]
    ),
    together=np.array([2.7, 2.5]),
)


def statistics(recent: Recent) -> np.ndarray:
    """(n, LENGTHS, CHANNELS) of the newest slots of n people; NaN: too little is known."""
    found = np.empty((len(recent.newest), len(LENGTHS), recent.newest.shape[2]))
    lowest = recent.newest[:, -WIDTH[QUARTER] :].min(axis=1)  # UNKNOWN, the lowest of all, if one of them is
    found[:, QUARTER] = np.clip(np.where(lowest == UNKNOWN, np.nan, lowest / GRAINS), LEAST, SUDDEN_CLIP)
    before = recent.newest[:, -WIDTH[QUARTER] - HALF_HOUR : -WIDTH[QUARTER], HEART]
    known = before != UNKNOWN
    count = known.sum(axis=1)
    level = np.where(known, np.clip(before / GRAINS, LEAST, SUDDEN_CLIP), 0).sum(axis=1) / np.maximum(count, 1)
    found[:, QUARTER, HEART] -= np.where(count >= LEAST_BEFORE, np.maximum(level, 0), np.nan)
    for length, usual in USUAL_SLOTS.items():
        span = SPANS.index(WIDTH[length])
        total, count = recent.total[:, span] / GRAINS, recent.known[:, span]
        found[:, length] = np.where(count > 0, total / (count + usual), np.nan)
    hour, whole = SPANS.index(WIDTH[HOUR]), SPANS.index(WIDTH[HOUR] + BEFORE)
    total, count = recent.total[:, whole] - recent.total[:, hour], recent.known[:, whole] - recent.known[:, hour]
    found[:, HOUR] -= CARRY * np.maximum(total / GRAINS / (count + BEFORE_USUAL), 0)
    return found


def fit(history: Slots) -> StreamModel:
    """The personal part, from some weeks of slots."""
    return StreamModel(slots.fit(history), len(history.hour) // SLOTS_A_DAY)


def over(deviations: np.ndarray) -> np.ndarray:
    """The statistics after each slot of a series (n, CHANNELS), as if it began with a gap."""
    return statistics(rings.over(deviations))


def together(found: np.ndarray) -> np.ndarray:
    """The sums over channels (n, 2) of statistics (n, LENGTHS, CHANNELS); what is not known counts as usual."""
    units = np.where(np.isfinite(found[:, TOGETHER]), found[:, TOGETHER], 0) / UNIT
    total: np.ndarray = np.clip(units, 0, MOST).sum(axis=2)
    return total


def score(edges: Edges, found: np.ndarray) -> np.ndarray:
    """(n,): 1 is an alert. The largest statistic in terms of its edge, so monotone in the deviations of the last
    minutes; 0 if none is known."""
    worst = np.where(np.isfinite(found), found, 0) / edges.single
    highest: np.ndarray = np.maximum(worst.max(axis=(1, 2)), (together(found) / edges.together).max(axis=1))
    return highest


def edges(calm: Sequence[np.ndarray], budget: float, *, slow: float | None = None) -> Edges:
    """The edges at which every statistic alone is expected to alert `budget` times a week and person, and the day's
    means of the channels in `SLOW` `slow` times.

    `calm` has the statistics (n, LENGTHS, CHANNELS) of each person's slots in order, NaN where they are not to count.
    """
    weeks = sum(int(np.isfinite(s).any(axis=(1, 2)).sum()) for s in calm) / WEEK
    lengths, channels = np.shape(calm[0])[1:]
    single = np.empty((lengths, channels))
    for length in range(lengths):
        for channel in range(channels):
            allowed = slow if slow is not None and length == DAY and channel in SLOW else budget
            single[length, channel] = _edge([s[:, length, channel] for s in calm], allowed, weeks)
    sums = [together(s) for s in calm]
    return Edges(single, np.array([_edge([s[:, i] for s in sums], budget, weeks) for i in range(len(TOGETHER))]))


def _edge(scores: Sequence[np.ndarray], budget: float, weeks: float) -> float:
    if not any((s > 0).any() for s in scores):
        return np.inf
    return for_tail(scores, budget, weeks, merge=MERGE)
