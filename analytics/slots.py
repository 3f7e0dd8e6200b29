"""Slots: a person's readings summed up in steps of five minutes, gated, and compared with what is usual at the hour.

Gate: a value must be plausible, from a device that is worn, and at rest. Heart rate and breathing are at rest when
nobody has taken a step for a quarter of an hour, oxygen saturation when not in this slot; unknown activity counts as
rest. What is left of earlier activity is taken off heart rate and breathing by the person's own recovery.
"""

from dataclasses import dataclass

import numpy as np

from analytics.baseline import middle

CHANNELS = ("heart_rate", "respiratory_rate", "spo2", "skin_temperature")
HEART, BREATH, OXYGEN, SKIN = range(len(CHANNELS))
SIGN = np.array([1.0, 1.0, -1.0, 1.0])
SLOT_MINUTES = 5
SLOTS_A_DAY = 288
LOW = np.array([25.0, 4.0, 60.0, 31.0])
HIGH = np.array([230.0, 60.0, 100.0, 42.0])
MOVING = 20.0  # steps in a slot
REST = 3  # slots without steps
RECOVERY = (0.9, 0.97)  # what is left of activity after a slot: about 50 minutes and 2.5 hours
PRIOR_SPREAD = np.array([7.0, 1.5, 1.0, 0.5])
LEAST_SPREAD = np.array([3.0, 0.8, 0.7, 0.25])
HOURS = 24
NEAR = 1  # hours to each side that an hour borrows from
PRIOR_SLOTS = 100.0  # slots that the spread over all hours counts for in one hour's
ENOUGH = 30  # slots of an hour and its neighbours that have a middle of their own
SELDOM = 0.25  # of an even share of the day: an hour that is measured so seldom has nothing usual
FEW_DAYS = 2.0  # what is usual is as uncertain as if it came of one day, divided by the days and times this


@dataclass(frozen=True, slots=True)
class Slots:
    """One person's slots in order: `values` (n, CHANNELS), `steps` (n,) with NaN for unknown, `hour` (n,) 0 to 23."""

    values: np.ndarray
    steps: np.ndarray
    hour: np.ndarray


@dataclass(frozen=True, slots=True)
class SlotModel:
    """What is usual for one person at each hour of their day, (HOURS, CHANNELS), and their recovery (2, CHANNELS)."""

    centre: np.ndarray
    spread: np.ndarray
    recovery: np.ndarray


def gated(slots: Slots) -> np.ndarray:
    """The values (n, CHANNELS) that may be compared; NaN where the gate is shut."""
    steps = np.where(np.isfinite(slots.steps), slots.steps, 0)
    moving = steps > MOVING
    lately = moving.copy()
    for back in range(1, REST):
        lately[back:] |= moving[:-back]
    kept = np.where((slots.values >= LOW) & (slots.values <= HIGH), slots.values, np.nan)
    kept[lately, HEART] = np.nan
    kept[lately, BREATH] = np.nan
    kept[moving, OXYGEN] = np.nan
    return kept


def activity(steps: np.ndarray) -> np.ndarray:
    """What earlier activity leaves, (n, 2), for each of RECOVERY; of the slots before, not of the slot itself."""
    from scipy.signal import lfilter  # only learning needs it: without it doors and watchers start in half the time

    told = np.log1p(np.where(np.isfinite(steps), steps, 0))
    return np.column_stack([lfilter([0, 1 - keep], [1, -keep], told) for keep in RECOVERY])


def fit(slots: Slots) -> SlotModel:
    """What is usual, from some weeks of slots. A channel never measured has NaN centres, and so has each hour at which
    it hardly ever was: the day's middle says nothing of the first night that a watch is worn."""
    values = gated(slots)
    left = activity(slots.steps)
    recovery = np.zeros((len(RECOVERY), len(CHANNELS)))
    for channel in (HEART, BREATH):
        known = np.isfinite(values[:, channel])
        if known.sum() > SLOTS_A_DAY:
            centre = _by_hour(values[:, channel], slots.hour)
            off = values[known, channel] - centre[slots.hour[known]]
            limit = 3 * 1.4826 * np.median(np.abs(off)) + 1e-9
            effect = left[known] - left[known].mean(axis=0)
            square = effect.T @ effect + known.sum() * 0.01 * np.eye(len(RECOVERY))
            recovery[:, channel] = np.maximum(np.linalg.solve(square, effect.T @ np.clip(off, -limit, limit)), 0)
    values = values - left @ recovery
    centre = np.column_stack([_by_hour(values[:, c], slots.hour) for c in range(len(CHANNELS))])
    off = np.abs(values - centre[slots.hour])
    overall = 1.4826 * middle(off)
    overall = np.maximum(np.where(np.isfinite(overall), overall, PRIOR_SPREAD), LEAST_SPREAD)
    spread = np.empty((HOURS, len(CHANNELS)))
    for hour in range(HOURS):
        here = off[_near(slots.hour, hour)]
        known = np.isfinite(here).sum(axis=0)
        own = np.nan_to_num(1.4826 * middle(here))
        spread[hour] = np.sqrt((known * own**2 + PRIOR_SLOTS * overall**2) / (known + PRIOR_SLOTS))
    # A saturation in whole per cent has a spread of 0 at many hours: a step of its scale is no deviation.
    spread = np.maximum(np.maximum(spread, 0.6 * overall), LEAST_SPREAD)
    days = np.logical_or.reduceat(np.isfinite(values), np.arange(0, len(values), SLOTS_A_DAY), axis=0).sum(axis=0)
    usual = np.column_stack([_without_seldom(centre[:, c], values[:, c], slots.hour) for c in range(len(CHANNELS))])
    return SlotModel(usual, spread * np.sqrt(1 + FEW_DAYS / np.maximum(days, 1)), recovery)


def deviations(model: SlotModel, slots: Slots) -> np.ndarray:
    """(n, CHANNELS) in spreads, positive in the bad direction; NaN where the gate is shut or nothing is usual yet."""
    off = gated(slots) - activity(slots.steps) @ model.recovery - model.centre[slots.hour]
    found: np.ndarray = SIGN * off / model.spread[slots.hour]
    return found


def _near(hours: np.ndarray, hour: int) -> np.ndarray:
    apart = (hours - hour) % HOURS
    near: np.ndarray = np.minimum(apart, HOURS - apart) <= NEAR
    return near


def _by_hour(values: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """The median at each hour and its neighbours, (HOURS,); over all hours where there is too little."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(HOURS, np.nan)
    everywhere = np.median(values[known])
    found = np.full(HOURS, everywhere)
    for hour in range(HOURS):
        here = values[known & _near(hours, hour)]
        if len(here) >= ENOUGH:
            found[hour] = np.median(here)
    return found


def _without_seldom(centre: np.ndarray, values: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """The centres (HOURS,), NaN at hours that are measured too seldom to say what is usual then."""
    count = np.bincount(hours[np.isfinite(values)], minlength=HOURS)
    near = np.sum([np.roll(count, by) for by in range(-NEAR, NEAR + 1)], axis=0)
    found: np.ndarray = np.where((near >= ENOUGH) | (near >= SELDOM * near.mean()), centre, np.nan)
    return found
