"""Whether a part that people share may judge nights: how it does on people whom it was not learned from.

People are split in halves, and each half is judged by a fit on the other: how often it alerts on nights that nobody
called ill, and how many of the published shifts it finds that are laid over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics import population
from analytics.calibration import MERGE, NIGHTS_A_WEEK, episodes, too_often
from analytics.population import NEEDED, START, History, Population, scores
from analytics.shifts import ILL, laid_over

LOST = 0.02  # of the shifts: a version that finds so many less is worse


@dataclass(frozen=True, slots=True)
class Proof:
    """`alerts` on `weeks` of nights that nobody called ill; `found` of `laid` shifts."""

    alerts: int
    weeks: float
    found: int
    laid: int

    @property
    def rate(self) -> float:
        return self.alerts / self.weeks if self.weeks else 0.0

    @property
    def recall(self) -> float:
        return self.found / self.laid if self.laid else 0.0

    def __add__(self, other: "Proof") -> "Proof":
        return Proof(
            self.alerts + other.alerts, self.weeks + other.weeks, self.found + other.found, self.laid + other.laid
        )


def proof(judge: Population, people: Sequence[History], *, seed: int = 0) -> Proof:
    """How `judge` does on these people; the same seed lays the same shifts over the same nights."""
    total = Proof(0, 0.0, 0, 0)
    draw = np.random.default_rng(seed)
    for person in people:
        score = scores(judge, person.values)
        calm = np.isfinite(score) if person.healthy is None else np.isfinite(score) & person.healthy
        alert = np.where(np.isfinite(score), score, -np.inf) >= judge.threshold
        found = laid = 0
        for case in laid_over(person.values, judge.channels, ILL, draw, START):
            since = max(0, case.start - NEEDED)
            until = min(case.start + case.nights + 1, len(case.values))
            shifted = scores(judge, case.values[since:until], first=case.start - since)[case.start - since :]
            found += bool((np.nan_to_num(shifted, nan=-np.inf) >= judge.threshold).any())
            laid += 1
        total += Proof(episodes(alert & calm, MERGE), float(calm.sum() / NIGHTS_A_WEEK), found, laid)
    return total


def learn(
    people: Sequence[History], channels: Sequence[str], sign: np.ndarray, *, seed: int = 0
) -> tuple[Population, Proof]:
    """The part learned from all of these people, and how the same learning does on people it has not seen."""
    halves = people[::2], people[1::2]
    seen = [
        proof(population.fit(taught, channels, sign, seed=seed), judged, seed=seed)
        for taught, judged in (halves, halves[::-1])
    ]
    return population.fit(people, channels, sign, seed=seed), seen[0] + seen[1]


def proof_of(judge: Population, people: Sequence[History], *, seed: int = 0) -> Proof:
    """As in `learn`, of a part that is there already: on the same nights and shifts."""
    return proof(judge, people[1::2], seed=seed) + proof(judge, people[::2], seed=seed)


def verdict(new: Proof, old: Proof, budget: float) -> tuple[bool, str]:
    """Whether the new part may judge instead of the old one, and why, in words for an operator.

    It must not alert more than `budget` times a week and person, or than the old one (Poisson: few weeks prove little),
    and must find as many of the shifts, but for `LOST` of them.
    """
    said = f"{new.rate:.2f} false alerts a week ({old.rate:.2f} before), {new.recall:.0%} found ({old.recall:.0%})"
    if too_often(new.alerts, new.weeks, max(budget, old.rate)):
        return False, f"It would alert too often: {said}"
    if new.recall < old.recall - LOST:
        return False, f"It would find less: {said}"
    return True, f"Not worse: {said}"
