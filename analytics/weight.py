"""Weight gain as a sign of fluid in heart failure: a published rule, not a learned range.

More than 2 kg within 3 days asks for a review (McDonagh 2021, ESC guidelines for heart failure, patient education and
self-care). It is switched on by a plan; somebody without heart failure is not weighed against it.
"""

import numpy as np

GAIN_KG = 2.0
WITHIN_DAYS = 3.0
DAY = 86_400_000_000


def gains(at: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """By how much each weight (n,) in kg is above the lowest of the `WITHIN_DAYS` before it; 0 for the first.

    `at` (n,) is in microseconds, UTC, in order. NaN weights are left out and have a gain of 0.
    """
    gained = np.zeros(len(weight))
    first = np.searchsorted(at, at - int(WITHIN_DAYS * DAY))
    for i in np.flatnonzero(np.isfinite(weight)).tolist():
        before = weight[first[i] : i + 1]
        gained[i] = weight[i] - np.nanmin(before)
    return gained


def alerts(at: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Which weights (n,) show a gain that asks for a review: confirmed by the weight before, or alone in its window.

    A child on the scales, a suitcase: one reading more than twice the rule above its neighbours waits for the next.
    """
    gained = gains(at, weight)
    over = gained > GAIN_KG
    doubtful = gained > 2 * GAIN_KG
    confirmed = np.concatenate([[False], over[:-1]]) if len(over) else over
    return over & (~doubtful | confirmed)
