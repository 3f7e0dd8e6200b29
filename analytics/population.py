"""The part of the personal model that people share: typical spreads, the scorer, and the alert budget's threshold.

It is learned from the consented history of one organisation. Until there is enough of it, the same code learns from
simulated nights of the published spreads (`from_published`), so that a new organisation is watched from the start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analytics import scorer
from analytics.baseline import PACES, WINDOW, Prior, middle, usual
from analytics.calibration import for_budget
from analytics.channels import NIGHTLY
from analytics.persistence import BACK, statistics
from analytics.scorer import Scorer
from analytics.shifts import ARTEFACTS, ILL, Shift, laid_over

START = 14  # nights of history before a night is learned from
LAID = 8  # times that each shift is laid over each person's nights
BUDGET = 0.05  # false alerts a week and person
ILL_SHARE = 0.3  # what all ill nights weigh against all healthy ones
MOST_CARRY = 0.8
NEEDED = WINDOW + 2 * BACK  # nights before a night that its score can depend on, but for the tail of the recent level


@dataclass(frozen=True, slots=True)
class Population:
    """`channels` name the columns of every array; `sign` (channels,) is the bad direction of each.

    `threshold` is the score at which healthy people of the training alerted `budget` times a week.
    """

    channels: tuple[str, ...]
    sign: np.ndarray
    prior: Prior
    scorer: Scorer
    threshold: float
    budget: float


@dataclass(frozen=True, slots=True)
class History:
    """One person's nights (nights, channels) of consecutive days, NaN for not measured, and what is known of them.

    `ill` and `healthy` are boolean per night where somebody said so; without them every night counts as healthy and
    shifts are laid over.
    """

    values: np.ndarray
    ill: np.ndarray | None = None
    healthy: np.ndarray | None = None


def fit(
    histories: Sequence[History],
    channels: Sequence[str],
    sign: np.ndarray,
    *,
    shifts: Sequence[Shift] = ILL,
    budget: float = BUDGET,
    seed: int = 0,
) -> Population:
    """Learn from people. Where nights are labelled these labels are used, otherwise `shifts` are laid over."""
    values = [h.values for h in histories]
    prior = prior_of(values)
    taught = _Lessons()
    draw = np.random.default_rng(seed)
    for history in histories:
        if len(history.values) <= START:
            continue
        rows = np.arange(START, len(history.values))
        found = statistics(history.values, rows, prior, sign)
        measured = np.isfinite(history.values[rows]).any(axis=1)
        well = measured if history.healthy is None else measured & history.healthy[rows]
        taught.add(found[well], False, 1.0)
        if history.ill is not None:
            taught.add(found[measured & history.ill[rows]], True, 1.0)
            continue
        for _ in range(LAID):
            for kind, ill in ((shifts, True), (ARTEFACTS, False)):
                for case in laid_over(history.values, channels, kind, draw, START):
                    # The first night cannot have lasted yet; a night after an artefact must stay as quiet as it.
                    nights = np.arange(case.start + ill, min(case.start + case.nights + (not ill), len(case.values)))
                    nights = nights[np.isfinite(case.values[nights]).any(axis=1)]
                    if len(nights):
                        since = max(0, case.start - NEEDED)
                        near = case.values[since : nights[-1] + 1]
                        taught.add(statistics(near, nights - since, prior, sign), ill, 1 / len(nights))
    learned = scorer.fit(*taught.arrays())
    population = Population(tuple(channels), sign, prior, learned, 0.0, budget)
    calm = [
        np.where(h.healthy, s, np.nan) if h.healthy is not None else s
        for h in histories
        if np.isfinite(s := scores(population, h.values)).any()
    ]
    return Population(tuple(channels), sign, prior, learned, for_budget(calm, budget), budget)


def scores(population: Population, values: np.ndarray, first: int = START) -> np.ndarray:
    """The score of each night of one person, NaN before `first` and where nothing was measured."""
    found = np.full(len(values), np.nan)
    if len(values) > first:
        rows = np.arange(first, len(values))
        score = population.scorer.score(statistics(values, rows, population.prior, population.sign))
        found[rows] = np.where(np.isfinite(values[rows]).any(axis=1), score, np.nan)
    return found


class _Lessons:
    """Nights to learn from; in the end the ill ones together weigh ILL_SHARE of the healthy ones."""

    def __init__(self) -> None:
        self._nights: list[np.ndarray] = []
        self._ill: list[np.ndarray] = []
        self._weight: list[np.ndarray] = []

    def add(self, nights: np.ndarray, ill: bool, weight: float) -> None:
        self._nights.append(nights)
        self._ill.append(np.full(len(nights), ill))
        self._weight.append(np.full(len(nights), weight if ill else min(weight, 1.0)))

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nights, ill, weight = (np.concatenate(parts) for parts in (self._nights, self._ill, self._weight))
        if not ill.any() or ill.all():
            raise ValueError("a scorer needs both healthy nights and ill ones: give more history, or shifts")
        weight[ill] *= ILL_SHARE * weight[~ill].sum() / weight[ill].sum()
        return nights, ill, weight


def spread_within(values: Sequence[np.ndarray]) -> np.ndarray:
    """The typical spread from night to night, (channels,): the median over people of 1.4826 MAD."""
    own = []
    for nights in values:
        deviation = np.abs(nights - middle(nights))
        own.append(np.where(np.isfinite(nights).sum(axis=0) >= START, 1.4826 * middle(deviation), np.nan))
    spread = middle(np.array(own))
    return np.where(spread > 0, spread, 1.0)


def prior_of(values: Sequence[np.ndarray]) -> Prior:
    """What these people's nights have in common.

    `carry` is how much of a recent departure from the long median stays for the night after next, 0 to 0.8: a
    least-squares slope through 0 over all people, without the nights that are far off. `pace` is the one that leaves
    the least of these nights unexplained.
    """
    spread = spread_within(values)
    slopes, left = zip(*(_carried(values, spread, pace) for pace in PACES), strict=True)
    best = np.argmin(left, axis=0)
    return Prior(spread, np.take_along_axis(np.array(slopes), best[None], axis=0)[0], np.array(PACES)[best])


def _carried(values: Sequence[np.ndarray], spread: np.ndarray, pace: float) -> tuple[np.ndarray, np.ndarray]:
    """The slope at this pace, and the sum of squares that it leaves, (channels,) each."""
    paces = np.full(len(spread), pace)
    product, square, whole = np.zeros((3, len(spread)))
    for nights in values:
        if len(nights) <= START + 1:
            continue
        rows = np.arange(START, len(nights) - 1)
        # Carry 0 gives the median alone, carry 1 the recent level.
        long = usual(nights, rows, Prior(spread, np.zeros(len(spread)), paces)).centre
        level = usual(nights, rows, Prior(spread, np.ones(len(spread)), paces)).centre
        off, recent = nights[rows + 1] - long, level - long
        near = np.isfinite(off) & np.isfinite(recent) & (np.abs(off) < 3 * spread)
        product += np.where(near, off * recent, 0).sum(axis=0)
        square += np.where(near, recent**2, 0).sum(axis=0)
        whole += np.where(near, off**2, 0).sum(axis=0)
    slope = np.clip(np.where(square > 0, product / np.maximum(square, 1e-12), 0), 0, MOST_CARRY)
    return slope, whole - 2 * slope * product + slope**2 * square


def from_published(channels: Sequence[str], *, people: int = 60, nights: int = 90, seed: int = 0) -> Population:
    """What is used before anybody has been learned from: fitted on simulated nights of the published spreads."""
    draw = np.random.default_rng(seed)
    sign = np.array([NIGHTLY[c].sign for c in channels], float)
    return fit(list(simulated(channels, people, nights, draw)), channels, sign, seed=seed)


def simulated(channels: Sequence[str], people: int, nights: int, draw: np.random.Generator) -> Iterable[History]:
    """People whose nights wander slowly and scatter with heavy tails (Student's t, 5 degrees of freedom)."""
    kinds = [NIGHTLY[c] for c in channels]
    within = np.array([k.within for k in kinds])
    for _ in range(people):
        level = np.array([k.centre for k in kinds]) + draw.normal(0, 1, len(kinds)) * [k.between for k in kinds]
        values = np.empty((nights, len(kinds)))
        slow = np.zeros(len(kinds))
        for night in range(nights):
            slow = 0.9 * slow + draw.normal(0, 0.25, len(kinds)) * within
            values[night] = level + slow + draw.standard_t(5, len(kinds)) * 0.7 * within
        values[draw.random(values.shape) < 0.1] = np.nan
        yield History(values)
