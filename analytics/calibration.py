"""Thresholds as an alert budget: how many false alerts a week a person, a team or a clinic is ready to answer.

The population's threshold comes first. A person who has been scored for long enough gets one of their own, from the
rank of their own calm nights (split conformal: Vovk 2005), and never a lower one than the budget asks for.
"""

from collections.abc import Sequence

import numpy as np

NIGHTS_A_WEEK = 7
MERGE = 2  # nights: alerts at most so far apart are one episode
OWN_FROM = 60  # scored nights
CHANCE = 0.1
PEAKS = 10  # of all calm people together, that a tail is fitted to


def episodes(alert: np.ndarray, merge: int = MERGE) -> int:
    """How many episodes the alerting steps (n,) bool make; steps at most `merge` apart belong together."""
    at = np.flatnonzero(alert)
    return int(len(at) > 0) + int((np.diff(at) > merge).sum())


def stretches(alert: np.ndarray, merge: int = MERGE) -> list[tuple[int, int]]:
    """The first and last step of each of these episodes."""
    at = np.flatnonzero(alert)
    if not len(at):
        return []
    apart = np.flatnonzero(np.diff(at) > merge)
    return list(zip(at[np.r_[0, apart + 1]].tolist(), at[np.r_[apart, len(at) - 1]].tolist(), strict=True))


def for_budget(
    scores: Sequence[np.ndarray], budget: float, *, merge: int = MERGE, per_week: int = NIGHTS_A_WEEK
) -> float:
    """The lowest threshold at which calm people alert at most `budget` times a week each.

    `scores` has one array per person in order of time, NaN where nothing was measured. Raises ValueError if empty.
    """
    known = np.concatenate([s[np.isfinite(s)] for s in scores]) if len(scores) else np.empty(0)
    if not len(known):
        raise ValueError("a threshold needs scored nights of calm people: score some history first")
    allowed = budget * len(known) / per_week
    best = float(np.nextafter(known.max(), np.inf))
    # Far below, episodes flow into one another and become fewer again, so the search comes from above. An episode's
    # peak opens it: only values that are highest within `merge` steps can change the count upwards.
    peaks = np.unique(np.concatenate([_peaks(np.nan_to_num(s, nan=-np.inf), merge) for s in scores]))[::-1]
    for threshold in peaks:
        count = sum(episodes(np.nan_to_num(s, nan=-np.inf) >= threshold, merge) for s in scores)
        if count > allowed:
            break
        best = float(threshold)
    return best


def for_tail(scores: Sequence[np.ndarray], budget: float, weeks: float, *, merge: int = MERGE) -> float:
    """The threshold at which calm people are expected to alert `budget` times a week, from the tail of their peaks.

    The highest `PEAKS` (each the highest within `merge` steps) are taken as exponential above the next one (peaks over
    threshold: Davison and Smith 1990), with the scale of their median where that is less than of their mean: one wild
    episode is one alert, and not a reason to be deaf to everything below it. `scores` has one array per person in order
    of time, NaN for not known, `weeks` are what they hold. Raises ValueError if nothing is above 0.
    """
    every = np.concatenate([np.unique(_peaks(np.nan_to_num(s, nan=-np.inf), merge)) for s in scores])
    peaks = np.sort(every[every > 0])[::-1]
    if not len(peaks):
        raise ValueError("a threshold needs scored slots of calm people: score some history first")
    count = min(PEAKS, len(peaks) - 1)
    if not count:
        return float(peaks[0])
    above = peaks[:count] - peaks[count]
    scale = min(np.median(above) / np.log(2), above.mean())
    return float(peaks[count] + scale * np.log(count / (budget * weeks)))


def too_often(alerts: int, weeks: float, allowed: float) -> bool:
    """Whether so many alerts in these user-weeks prove a rate above `allowed` a week.

    So many, or more, would then be seen in less than `CHANCE` of such times at the allowed rate (Poisson): few weeks
    have few alerts, and prove little.
    """
    from scipy.stats import poisson  # only learning needs it: see slots.activity

    return weeks > 0 and alerts / weeks > allowed and bool(poisson.sf(alerts - 1, allowed * weeks) < CHANCE)


def _peaks(scores: np.ndarray, merge: int) -> np.ndarray:
    padded = np.concatenate([np.full(merge, -np.inf), scores, np.full(merge, -np.inf)])
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * merge + 1).max(axis=1)
    peaks: np.ndarray = scores[(scores == highest) & np.isfinite(scores)]
    return peaks


def own_threshold(own: np.ndarray, population: float, budget: float) -> float:
    """The threshold of one person with calm `own` scores (n,): the population's, or a higher one of their own.

    With fewer than `OWN_FROM` scored nights it is the population's.
    """
    known = own[np.isfinite(own)]
    if len(known) < OWN_FROM:
        return population
    share = min(1.0, np.ceil((len(known) + 1) * (1 - budget / NIGHTS_A_WEEK)) / len(known))
    return max(population, float(np.quantile(known, share, method="higher")))
