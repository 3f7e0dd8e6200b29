"""How long a deviation has lasted: the statistics of the last nights that the personal model scores.

Every statistic is in spreads, positive in the bad direction, and is measured against what was usual before the
*first* of its nights, so that an illness is not compared with itself. All need at least two nights, and nights that
disagree by more than `DISAGREE` spreads count against each other: one odd night, a sensor that slipped or a hard
training day, is not persistence.
"""

import numpy as np

from analytics.baseline import Prior, usual

STATISTICS = ("two nights", "two nights, milder", "three nights", "five nights")
BACK = 6  # nights before the first asked one that are looked at
LEADS = (2, 3, 4, 5)
DISAGREE = 3.0
EXCUSED = 2.0  # the milder statistic lets the worse night count up to this much more than the other


def deviations(values: np.ndarray, rows: np.ndarray, prior: Prior, sign: np.ndarray) -> dict[int, np.ndarray]:
    """For each lead k the last k nights of each row, (n, k, channels), in spreads, against what was usual before."""
    first = max(0, int(rows[0]) - BACK)
    known = usual(values, np.arange(first, int(rows[-1]) + 1), prior)
    found = {}
    for lead in (1, *LEADS):
        before = np.maximum(rows - lead + 1 - first, 0)
        nights = rows[:, None] + np.arange(1 - lead, 1)
        measured = np.where((nights >= 0)[:, :, None], values[np.maximum(nights, 0)], np.nan)
        found[lead] = sign * (measured - known.centre[before][:, None]) / known.spread[before][:, None]
    return found


def statistics(values: np.ndarray, rows: np.ndarray, prior: Prior, sign: np.ndarray) -> np.ndarray:
    """(n, len(STATISTICS), channels) of the nights `rows` of one person's `values` (nights, channels).

    NaN where the channel was not measured often enough, or last two nights ago or earlier. `sign` (channels,) is +1
    or -1. Any split of `rows` gives the same numbers.
    """
    off = deviations(values, rows, prior, sign)
    count = {lead: np.isfinite(z).sum(axis=1) for lead, z in off.items()}
    two, milder, three = (np.full((len(rows), values.shape[1]), np.nan) for _ in range(3))
    for lead in (2, 3, 4):
        lately = np.isfinite(off[lead][:, -2:]).any(axis=1)
        pair = np.isnan(two) & (count[lead] == 2) & lately
        low, high = _lowest(off[lead], 2)
        apart = np.maximum(high - low - DISAGREE, 0)
        two = np.where(pair, low - apart, two)
        milder = np.where(pair, low + np.minimum(high - low, EXCUSED) / 2 - apart, milder)
    for lead in (3, 4):
        low, middle, high = _lowest(off[lead], 3)
        here = np.isnan(three) & (count[lead] == 3)
        three = np.where(here, (low + middle) / 2 - np.maximum(high - middle - DISAGREE, 0), three)
    ordered = _lowest(off[5], 5)
    five = np.select([count[5] == 5, count[5] == 4], [ordered[:4].mean(axis=0), ordered[:3].mean(axis=0)], np.nan)
    return np.stack([two, milder, three, five], axis=1)


def _lowest(off: np.ndarray, how_many: int) -> np.ndarray:
    """The lowest known values of each window, (how_many, n, channels); NaN comes last."""
    return np.moveaxis(np.sort(off, axis=1)[:, :how_many], 1, 0)
