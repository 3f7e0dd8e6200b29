"""The scorer shared by everybody: additive over channels and statistics, and monotone in each.

A score is a sum of hinges with weights that cannot be negative, so a worse night can never lower it, and each channel's
part of an alert can be shown. It is a logistic regression whose weights are bounded below. Nights that score highest
among those called healthy are set aside and the fit is repeated: unlabelled history holds real illness, and a handful
of such nights otherwise teaches the scorer to look away (trimmed likelihood, Hadi and Luceño 1997).
"""

from dataclasses import dataclass

import numpy as np

KNOTS = np.array([-1.0, 0.0, 1.0, 2.0])  # spreads
MOST = 5.0  # a deviation beyond this says no more
PENALTY = 3e-3
SET_ASIDE = 0.015  # share of the healthy nights
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Scorer:
    """`weight` (statistics, channels, knots), never negative, and `intercept`."""

    weight: np.ndarray
    intercept: float

    def contributions(self, statistics: np.ndarray) -> np.ndarray:
        """Each channel's part of the score, (n, channels), of `statistics` (n, statistics, channels).

        A statistic that is not known counts as usual.
        """
        parts: np.ndarray = np.einsum("nsck,sck->nc", _hinges(statistics), self.weight)
        return parts

    def score(self, statistics: np.ndarray) -> np.ndarray:
        """(n,), in log odds of a night like those it was shown as ill against one called healthy."""
        total: np.ndarray = self.contributions(statistics).sum(axis=1) + self.intercept
        return total


def _hinges(statistics: np.ndarray) -> np.ndarray:
    known = np.where(np.isfinite(statistics), statistics, 0.0)
    hinges: np.ndarray = np.clip(known[..., None] - KNOTS, 0, MOST - KNOTS)
    return hinges


def fit(statistics: np.ndarray, ill: np.ndarray, weight: np.ndarray, penalty: float = PENALTY) -> Scorer:
    """A scorer from nights (n, statistics, channels), `ill` (n,) bool, and the `weight` (n,) of each night."""
    shape = statistics.shape[1:] + KNOTS.shape
    hinges = _hinges(statistics).reshape(len(ill), -1)
    scale = hinges.std(axis=0) + 1e-2
    hinges /= scale
    target = ill.astype(float)
    bounds = [(0.0, None)] * hinges.shape[1] + [(None, None)]
    from scipy.optimize import minimize  # only learning needs it: see slots.activity

    found = np.zeros(hinges.shape[1] + 1)
    kept = weight.astype(float)
    for turn in range(ROUNDS):
        result = minimize(
            _loss, found, args=(hinges, target, kept, penalty), jac=True, bounds=bounds, method="L-BFGS-B"
        )
        found = result.x
        if turn < ROUNDS - 1:
            scores = hinges @ found[:-1]
            edge = np.quantile(scores[~ill], 1 - SET_ASIDE)
            kept = np.where(~ill & (scores > edge), 0.0, weight)
    return Scorer((found[:-1] / scale).reshape(shape), float(found[-1]))


def _loss(
    found: np.ndarray, hinges: np.ndarray, target: np.ndarray, weight: np.ndarray, penalty: float
) -> tuple[float, np.ndarray]:
    odds = hinges @ found[:-1] + found[-1]
    off = weight * (0.5 * (1 + np.tanh(odds / 2)) - target) / weight.sum()
    loss = (weight * (np.logaddexp(0, odds) - target * odds)).sum() / weight.sum() + penalty * (found[:-1] ** 2).sum()
    return float(loss), np.r_[hinges.T @ off + 2 * penalty * found[:-1], off.sum()]
