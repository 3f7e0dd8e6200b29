"""The last day of many people's slots: a ring for each person, and sums over its newest slots that move with it.

A deviation is held as a whole number of grains, so that sums are exact: added slot by slot, or anew from a ring, or
over a whole history at once, they are the same number, and so is every statistic made of them.
"""

from dataclasses import dataclass

import numpy as np

from analytics.slots import SLOTS_A_DAY

KEPT = SLOTS_A_DAY  # slots that a ring holds
GRAINS = 512  # in a spread; what the gate lets through is less than 60 spreads from what is usual
UNKNOWN = np.iinfo(np.int16).min
CLIP = (-4 * GRAINS, 3 * GRAINS)  # beyond it a slot says no more in a sum
SPANS = (12, 36, 72, 84, KEPT)  # slots that are summed up, newest ones
NEWEST = 9  # slots that `Recent` has one by one


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest slots of n people, in grains: one by one (n, NEWEST, CHANNELS), newest last, UNKNOWN for not known;
    and for each of SPANS the clipped sum and the number of those known, (n, SPANS, CHANNELS)."""

    newest: np.ndarray
    total: np.ndarray
    known: np.ndarray


@dataclass(frozen=True, slots=True)
class Rings:
    """Rings of people: `held` (people, KEPT, CHANNELS) int16, a slot at its number modulo KEPT; `total` int32 and
    `known` int16 (people, SPANS, CHANNELS). They are changed in place."""

    held: np.ndarray
    total: np.ndarray
    known: np.ndarray

    def push(self, people: np.ndarray, slot: np.ndarray, deviations: np.ndarray) -> None:
        """Put `deviations` (n, CHANNELS), in spreads and NaN for unknown, as the slot that follows each ring's newest;
        nobody is in `people` twice."""
        new = grains(deviations)
        gone = self.held[people[:, None], (slot[:, None] - np.array(SPANS)) % KEPT]
        self.held[people, slot % KEPT] = new
        self.total[people] += clipped(new)[:, None] - clipped(gone)
        self.known[people] += (new != UNKNOWN)[:, None].astype(np.int16) - (gone != UNKNOWN)

    def silence(self, people: np.ndarray, newest: np.ndarray, until: np.ndarray) -> None:
        """Nothing is known of the slots after `newest` and before `until`."""
        slot = until[:, None] - KEPT + np.arange(KEPT)
        held = self.held[people[:, None], slot % KEPT]
        held[slot > newest[:, None]] = UNKNOWN
        self.held[people[:, None], slot % KEPT] = held
        begins = [KEPT - span for span in reversed(SPANS)]  # each span holds the one before it
        for sums, of_slot in ((self.total, clipped(held)), (self.known, (held != UNKNOWN).astype(np.int16))):
            sums[people] = np.add.reduceat(of_slot, begins, axis=1)[:, ::-1].cumsum(axis=1)

    def recent(self, people: np.ndarray, slot: np.ndarray) -> Recent:
        """What is held of `people` whose newest slot is `slot`."""
        newest = self.held[people[:, None], (slot[:, None] - np.arange(NEWEST)[::-1]) % KEPT]
        return Recent(newest, self.total[people], self.known[people])

    def deviations(self, person: int, slot: int, width: int) -> np.ndarray:
        """One person's newest `width` slots up to `slot`, (width, CHANNELS) in spreads, NaN for unknown."""
        return spreads(self.held[person, (slot - np.arange(width)[::-1]) % KEPT])


def over(deviations: np.ndarray) -> Recent:
    """What a ring would have held after each slot of a series (n, CHANNELS), had it begun empty."""
    series = grains(deviations)
    before = np.full((KEPT, series.shape[1]), UNKNOWN, np.int16)
    padded = np.concatenate([before, series])
    windows = np.lib.stride_tricks.sliding_window_view(padded, NEWEST, axis=0)[KEPT - NEWEST + 1 :]
    after = np.arange(KEPT, KEPT + len(series)) + 1

    def sums(of_slot: np.ndarray) -> np.ndarray:
        running = np.concatenate([np.zeros((1, of_slot.shape[1]), np.int64), of_slot.cumsum(axis=0)])
        return np.stack([running[after] - running[after - span] for span in SPANS], axis=1)

    return Recent(windows.transpose(0, 2, 1), sums(clipped(padded)), sums(padded != UNKNOWN))


def grains(deviations: np.ndarray) -> np.ndarray:
    """Deviations in spreads as whole grains, int16; UNKNOWN for NaN."""
    known = np.isfinite(deviations)
    whole = np.clip(np.rint(np.where(known, deviations, 0) * GRAINS), UNKNOWN + 1, -UNKNOWN - 1)
    return np.where(known, whole, UNKNOWN).astype(np.int16)


def spreads(held: np.ndarray) -> np.ndarray:
    """Grains as deviations in spreads; NaN for UNKNOWN."""
    return np.where(held == UNKNOWN, np.nan, held / GRAINS)


def clipped(held: np.ndarray) -> np.ndarray:
    """What each slot adds to a sum, int32: 0 if it is not known."""
    return np.where(held == UNKNOWN, 0, np.clip(held, *CLIP)).astype(np.int32)
