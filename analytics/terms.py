"""What the watcher must know of each person's monitoring plan, as arrays: when it holds, limits, how often is due."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ingestion.vitals import CODES, FLAGS, NUMBERS, VITALS

# The order of the columns in every array of `terms` and `ward`.
WATCHED: tuple[str, ...] = tuple(name for name in NUMBERS + FLAGS + CODES if name not in ("battery", "presence"))
COLUMN = {name: i for i, name in enumerate(WATCHED)}

NEVER = np.iinfo(np.int64).max
ALWAYS = np.iinfo(np.int64).min
SLOW_FROM_S = 10 * 60  # due less often than this: there is no second reading to wait for


@dataclass(frozen=True, slots=True)
class Limit:
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Term:
    """One version of one person's plan, in force during [valid_from, valid_to); all times in microseconds, UTC.

    The person is watched during [watched_from, watched_to) except [paused_from, paused_to). `scale` is NEWS2's SpO2
    scale, 1 or 2; 0 means that NEWS2 does not apply. `due_s` has the seconds between expected readings by vital.
    """

    subject: str
    valid_from: int = ALWAYS
    valid_to: int = NEVER
    watched_from: int = ALWAYS
    watched_to: int = NEVER
    paused_from: int = NEVER
    paused_to: int = NEVER
    scale: int = 1
    due_s: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)


class Terms:
    """The terms of many people. Immutable; made anew whenever a plan changes. Row 0 stands for "no plan"."""

    def __init__(self, terms: Iterable[Term]) -> None:
        rows = [Term("", watched_to=ALWAYS, scale=0), *sorted(terms, key=lambda t: (t.subject, t.valid_from))]
        self.rows = rows
        self._first: dict[str, int] = {}
        for number, term in enumerate(rows[1:], 1):
            self._first.setdefault(term.subject, number)
        self._count = np.zeros(len(rows), np.int64)
        for term in rows[1:]:
            self._count[self._first[term.subject]] += 1
        self._times = np.array(
            [(t.valid_from, t.valid_to, t.watched_from, t.watched_to, t.paused_from, t.paused_to) for t in rows],
            np.int64,
        )
        self.scale = np.array([t.scale for t in rows], np.int8)
        self.low = np.full((len(rows), len(WATCHED)), -np.inf)
        self.high = np.full((len(rows), len(WATCHED)), np.inf)
        self.slow = np.zeros((len(rows), len(WATCHED)), bool)
        for number, term in enumerate(rows):
            for column, name in enumerate(WATCHED):
                self.slow[number, column] = term.due_s.get(name, VITALS[name].expected_s) > SLOW_FROM_S
            for name, limit in term.limits.items():
                if limit.low is not None:
                    self.low[number, COLUMN[name]] = limit.low
                if limit.high is not None:
                    self.high[number, COLUMN[name]] = limit.high

    def first(self, subject: str) -> int:
        """The row of a person's oldest term, 0 if there is none."""
        return self._first.get(subject, 0)

    def in_force(self, first: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For people with these `first` rows: the row in force at `at` (0 if none), and whether they are watched."""
        row = np.zeros(len(first), np.int64)
        count = self._count[first]
        for turn in range(int(count.max(initial=0))):
            candidate = np.where(count > turn, first + turn, 0)
            valid = (self._times[candidate, 0] <= at) & (at < self._times[candidate, 1]) & (count > turn)
            row = np.where(valid, candidate, row)
        times = self._times[row]
        watched = (times[:, 2] <= at) & (at < times[:, 3]) & ~((times[:, 4] <= at) & (at < times[:, 5]))
        return row, watched & (row > 0)
