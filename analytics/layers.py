"""Both layers of the watcher for the people of one partition, each on every reading and neither knowing of the other.

The absolute layer (`ward`) decides from limits, the personal one (`personal`) from what is usual for the person. What
one decides, keeps back or has open is out of the other's reach, so that no model and no tag can silence a limit.
"""

from collections.abc import Iterable

import pyarrow as pa

from analytics.batch import batch_of
from analytics.episodes import Transition
from analytics.personal import KeptBack, Personal
from analytics.terms import Terms
from analytics.versions import Models
from analytics.ward import Ward


class Layers:
    """`ward` and `personal` are checkpointed apart: see `packed` of each."""

    def __init__(self, ward: Ward, personal: Personal) -> None:
        self.ward, self.personal = ward, personal

    @classmethod
    def anew(cls, models: Models) -> "Layers":
        return cls(Ward(), Personal(models))

    def terms_are(self, terms: Terms) -> None:
        self.ward.terms_are(terms)
        self.personal.terms_are(terms)

    def open_episodes_are(self, episodes: Iterable[tuple[str, str, int]]) -> None:
        """(subject, cause, level) of every open episode, as the database has it."""
        known = list(episodes)
        self.ward.open_episodes_are(known)
        self.personal.open_episodes_are(known)

    def take(
        self, readings: pa.Table, *, decide: bool = True, ward: bool = True, personal: bool = True
    ) -> tuple[list[Transition], list[KeptBack]]:
        """Take readings (READING_SCHEMA) in the order of their partition: the steps of both layers, the absolute ones
        first, and what a tag kept back of the personal ones. A layer whose windows already hold them is left out."""
        batch = batch_of(readings)
        absolute = self.ward.take(batch, decide=decide) if ward else []
        unusual, kept = self.personal.take(batch, decide=decide) if personal else ([], [])
        return [*absolute, *unusual], kept
