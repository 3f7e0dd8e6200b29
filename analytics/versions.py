"""Which version of people's models judges a reading: the one in force when it was received, as arrays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analytics.baseline import middle
from analytics.slots import CHANNELS, HOURS, RECOVERY
from analytics.terms import ALWAYS, NEVER
from analytics.windows import LENGTHS, TOGETHER, Edges, StreamModel


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the models of one share of the people, in force from `since` (microseconds, UTC) on."""

    name: str
    models: Mapping[str, StreamModel]
    edges: Edges
    since: int = ALWAYS
    share: int = 0


class Models:
    """The models of many people as arrays, in all versions that a reading may have been received under.

    Row 0 knows nothing and never alerts. Immutable, made anew when a version is promoted or a consent changes.
    """

    def __init__(self, versions: Iterable[Version]) -> None:
        ordered = sorted(versions, key=lambda v: (v.share, v.since))
        ends = [NEVER] * len(ordered)
        for number, (version, after) in enumerate(pairwise(ordered)):
            if after.share == version.share:
                ends[number] = after.since
        held: dict[str, list[tuple[int, StreamModel]]] = {}
        for number, version in enumerate(ordered):
            for subject, model in version.models.items():
                held.setdefault(subject, []).append((number, model))
        rows = [(number, model) for of_one in held.values() for number, model in of_one]
        every = [model for _, model in rows]
        self._first: dict[str, int] = {}
        self._count = np.zeros(len(rows) + 1, np.int64)
        row = 1
        for subject, of_one in held.items():
            self._first[subject], self._count[row] = row, len(of_one)
            row += len(of_one)
        self._since = np.array([NEVER, *(ordered[number].since for number, _ in rows)], np.int64)
        self._until = np.array([NEVER, *(ends[number] for number, _ in rows)], np.int64)
        version_of = [0, *(number for number, _ in rows)]
        edges = [ordered[number].edges if ordered else _NOWHERE for number in version_of]
        self.names = [ordered[number].name if ordered else "" for number in version_of]
        self.single = np.stack([e.single for e in edges])
        self.together = np.stack([e.together for e in edges])
        hours = (HOURS, len(CHANNELS))

        def stacked(nothing: np.ndarray, arrays: list[np.ndarray]) -> np.ndarray:
            return np.stack([nothing, *arrays])

        self.centre = stacked(np.full(hours, np.nan), [m.usual.centre for m in every])
        self.spread = stacked(np.ones(hours), [m.usual.spread for m in every])
        self.recovery = stacked(np.zeros((len(RECOVERY), len(CHANNELS))), [m.usual.recovery for m in every])
        self.shown = middle(np.moveaxis(self.centre, 1, 0))
        self.days = np.array([0, *(m.days for m in every)])

    def first(self, subject: str) -> int:
        """The row of a person's oldest version, 0 if there is none."""
        return self._first.get(subject, 0)

    def in_force(self, first: np.ndarray, at: np.ndarray) -> np.ndarray:
        """For people with these `first` rows the row in force at `at` (microseconds, UTC), 0 if none."""
        row = np.zeros(len(first), np.int64)
        count = self._count[first]
        for turn in range(int(count.max(initial=0))):
            candidate = np.where(count > turn, first + turn, 0)
            valid = (count > turn) & (self._since[candidate] <= at) & (at < self._until[candidate])
            row = np.where(valid, candidate, row)
        return row


_NOWHERE = Edges(np.full((len(LENGTHS), len(CHANNELS)), np.inf), np.full(len(TOGETHER), np.inf))
