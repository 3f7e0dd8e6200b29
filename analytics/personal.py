"""The personal layer of the watcher: people's slots as arrays, and what each reading changes in them.

A reading adds to its person's open slot of five minutes. The first reading of a later slot closes it: gate, deviation
from what is usual at this hour, statistics of the last minutes and hours, and the causes that follow. An episode opens
when a cause reaches its edge, and ends when it has stayed below `CALM_SHARE` of it for `CALM_FOR`. Silence between two
readings is slots in which nothing was known. A reading for a slot that is already closed changes nothing here, and
neither does one that came late (`analytics.batch`): the nightly findings look at history.

As in the ward everything is a function of the readings in their order, so any batching, and a replay after a crash,
gives the same steps. A person's plan and the version of the model are those in force when the reading was received
that closed the slot. This layer knows nothing of the absolute limits and cannot silence one. A context tag (ill,
travel, alcohol, exercise, vaccination) keeps an episode from opening; what it kept back is returned with its reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from analytics import evidence, windows
from analytics.batch import Batch
from analytics.episodes import Level, Step, Transition
from analytics.packing import pack, unpack
from analytics.rings import KEPT, SPANS, UNKNOWN, Rings
from analytics.roster import Roster
from analytics.slots import BREATH, CHANNELS, HEART, HIGH, LOW, MOVING, OXYGEN, RECOVERY, REST, SIGN, SLOT_MINUTES
from analytics.terms import COLUMN, Terms
from analytics.versions import Models
from analytics.windows import LENGTHS, MOST, TOGETHER, UNIT, WIDTH

SECOND = 1_000_000
SLOT = SLOT_MINUTES * 60 * SECOND
HOUR = 3600 * SECOND
CALM_FOR = 2 * HOUR
CALM_SHARE = 0.8
LEVEL = Level.LOW_MEDIUM
NOBODY = -(2**40)  # the slot of a person nobody has heard of

CAUSES = (
    *(f"personal:{name}:{'high' if sign > 0 else 'low'}" for name, sign in zip(CHANNELS, SIGN, strict=True)),
    "personal:together",
)
CAUSE = {name: i for i, name in enumerate(CAUSES)}

_C = len(CHANNELS)
_WATCHED = [COLUMN[name] for name in CHANNELS]
_STATE: dict[str, tuple[tuple[int, ...], Any, Any]] = {
    # name: (shape for one person, type, value of a person nobody has heard of)
    "slot": ((), np.int64, NOBODY),
    "offset": ((), np.int64, 0),  # minutes from UTC, of the newest reading
    "sum": ((_C,), np.float64, 0.0),
    "count": ((_C,), np.int32, 0),
    "steps": ((), np.float64, 0.0),
    "moved": ((), np.int64, NOBODY),  # the newest slot with steps
    "left": ((len(RECOVERY),), np.float64, 0.0),
    "device": ((_C,), np.int32, 0),  # that measured each channel last
    "held": ((KEPT, _C), np.int16, UNKNOWN),
    "total": ((len(SPANS), _C), np.int32, 0),
    "known": ((len(SPANS), _C), np.int16, 0),
    "calm_since": ((len(CAUSES),), np.int64, NOBODY),
    "kept_back": ((len(CAUSES),), bool, False),
}


@dataclass(frozen=True, slots=True)
class Tag:
    """What somebody said about a time, [since, until) in microseconds UTC, that explains unusual values."""

    name: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class KeptBack:
    """An episode that a tag kept from opening."""

    subject: str
    cause: str
    at: datetime
    tag: str


class Personal:
    """The personal layer for the people of one partition."""

    def __init__(self, models: Models) -> None:
        self._people, self._devices = Roster(), Roster([""])
        self._state = {name: np.empty((0, *shape), kind) for name, (shape, kind, _) in _STATE.items()}
        self._open = np.empty((0, len(CAUSES)), np.int8)
        self._tags: dict[str, list[Tag]] = {}
        self.models_are(models)
        self.terms_are(Terms([]))

    # --- what is known from elsewhere ---

    def models_are(self, models: Models) -> None:
        self._models = models
        self._first_model = np.array([models.first(s) for s in self._people.names], np.int64)

    def terms_are(self, terms: Terms) -> None:
        """Whose plan is not active is not alerted; without terms that is everybody."""
        self._terms = terms
        self._first_term = np.array([terms.first(s) for s in self._people.names], np.int64)

    def tags_are(self, tags: Mapping[str, list[Tag]]) -> None:
        self._tags = dict(tags)

    def open_episodes_are(self, episodes: Iterable[tuple[str, str, int]]) -> None:
        """(subject, cause, level) of every open episode, as the database has it; others' causes are left out."""
        self._open[:] = Level.NONE
        for subject, cause, level in episodes:
            if cause in CAUSE:
                place = self._places([subject])[0]
                self._open[place, CAUSE[cause]] = level

    # --- readings ---

    def take(self, batch: Batch, *, decide: bool = True) -> tuple[list[Transition], list[KeptBack]]:
        """Take readings in the order of their partition; the steps they cause, and what a tag kept back, in that order.

        With `decide=False` only the windows move: these readings were decided before.
        """
        person = np.array(self._places(batch.subjects), np.int64)[batch.person]
        device = np.array(self._devices.enrol(batch.devices), np.int32)[batch.device]
        steps: list[tuple[int, Transition]] = []
        kept: list[tuple[int, KeptBack]] = []
        slots, values = batch.at // SLOT, batch.values[:, _WATCHED]
        for rows in batch.rounds:
            people, slot = person[rows], slots[rows]
            later = slot > self._state["slot"][people]
            if later.any():
                for row, found in self._close(people[later], slot[later], rows[later], batch, decide):
                    (kept if isinstance(found, KeptBack) else steps).append((row, found))  # type: ignore[arg-type]
            current = slot == self._state["slot"][people]
            self._add(people[current], rows[current], batch, values, device)
        return [t for _, t in sorted(steps, key=lambda s: s[0])], [k for _, k in sorted(kept, key=lambda s: s[0])]

    def _add(self, people: np.ndarray, rows: np.ndarray, batch: Batch, values: np.ndarray, device: np.ndarray) -> None:
        state, values = self._state, values[rows]
        fits = (values >= LOW) & (values <= HIGH)
        state["sum"][people] += np.where(fits, values, 0)
        state["count"][people] += fits
        state["device"][people] = np.where(fits, device[rows, None], state["device"][people])
        state["steps"][people] += np.where(np.isfinite(batch.steps[rows]), batch.steps[rows], 0)
        state["offset"][people] = batch.offset[rows]

    def _close(
        self, people: np.ndarray, following: np.ndarray, rows: np.ndarray, batch: Batch, decide: bool
    ) -> Iterable[tuple[int, Transition | KeptBack]]:
        """Close the open slot of each of these people, and open `following`."""
        state = self._state
        closing = state["slot"][people]
        new = closing == NOBODY
        moving = (state["steps"][people] > MOVING) & ~new
        state["moved"][people] = np.where(moving, closing, state["moved"][people])
        count = state["count"][people]
        values = np.where(count > 0, state["sum"][people] / np.maximum(count, 1), np.nan)
        lately = closing - state["moved"][people] < REST
        values[lately, HEART] = np.nan
        values[lately, BREATH] = np.nan
        values[moving, OXYGEN] = np.nan
        models, model = self._models, self._models.in_force(self._first_model[people], batch.received[rows])
        hour = ((closing * SLOT_MINUTES + state["offset"][people]) // 60) % 24
        usual = models.centre[model, hour] + np.einsum("nr,nrc->nc", state["left"][people], models.recovery[model])
        off = SIGN * (values - usual) / models.spread[model, hour]
        rings = self._rings()
        rings.push(people, closing, off)
        found = []
        watched = np.flatnonzero((model > 0) & ~new)
        if len(watched):
            found = list(
                self._decide(
                    people[watched],
                    model[watched],
                    batch.received[rows[watched]],
                    closing[watched],
                    usual[watched],
                    hour[watched],
                    rows[watched],
                    decide,
                )
            )
        keep = np.array(RECOVERY)
        gap = np.where(new, 0, following - closing - 1)
        left = keep * state["left"][people] + (1 - keep) * np.log1p(np.where(new, 0, state["steps"][people]))[:, None]
        state["left"][people] = left * keep ** np.minimum(gap, 10_000)[:, None]
        if (silent := np.flatnonzero(gap > 0)).size:
            rings.silence(people[silent], closing[silent], following[silent])
        state["slot"][people] = following
        state["sum"][people] = 0
        state["count"][people] = 0
        state["steps"][people] = 0
        return found

    def _decide(
        self,
        people: np.ndarray,
        model: np.ndarray,
        received: np.ndarray,
        slot: np.ndarray,
        usual: np.ndarray,
        hour: np.ndarray,
        rows: np.ndarray,
        decide: bool,
    ) -> Iterable[tuple[int, Transition | KeptBack]]:
        models = self._models
        _, has_plan = self._terms.in_force(self._first_term[people], received)
        has_plan = has_plan[:, None]
        found = windows.statistics(self._rings().recent(people, slot))
        known = np.where(np.isfinite(found), found, 0)
        strength_of = known / models.single[model]
        sums = windows.together(found) / models.together[model]
        strength = np.concatenate([strength_of.max(axis=1), sums.max(axis=1, keepdims=True)], axis=1)
        since = self._state["calm_since"][people]
        since = np.where(strength < CALM_SHARE, np.where(since == NOBODY, slot[:, None], since), NOBODY)
        self._state["calm_since"][people] = since
        calm = (since != NOBODY) & ((slot[:, None] - since) * SLOT >= CALM_FOR)
        held = np.full(len(people), None)
        if self._tags:
            held[:] = [self._tag(p, s) for p, s in zip(people.tolist(), slot.tolist(), strict=True)]
        explained = np.array([tag is not None for tag in held.tolist()], bool)[:, None]
        before, was_kept = self._open[people], self._state["kept_back"][people]
        above = strength >= 1
        rises = above & (before == Level.NONE) & ~explained & has_plan
        kept = above & (before == Level.NONE) & explained & ~was_kept & has_plan
        ends = (before > Level.NONE) & calm & has_plan
        self._state["kept_back"][people] = (was_kept | kept) & explained & ~calm
        if not decide:
            return
        self._open[people] = np.where(rises, LEVEL, np.where(ends, Level.NONE, before))
        for n, cause in np.argwhere(rises | ends | kept).tolist():
            subject = self._people.names[people[n]]
            at = datetime.fromtimestamp((int(slot[n]) + 1) * SLOT / SECOND, UTC)
            if kept[n, cause]:
                yield int(rows[n]), KeptBack(subject, CAUSES[cause], at, held[n].name)
                continue
            strong = (strength_of[n], known[n], sums[n])
            who = (int(people[n]), int(slot[n]), int(model[n]), int(hour[n]))
            shown = self._evidence(cause, *who, *strong, usual[n])
            step = Step.ENDED if ends[n, cause] else Step.OPENED
            yield int(rows[n]), Transition(subject, CAUSES[cause], step, LEVEL, at, shown)

    def _tag(self, person: int, slot: int) -> Tag | None:
        tags = self._tags.get(self._people.names[person], ())
        return next((t for t in tags if t.since < (slot + 1) * SLOT and slot * SLOT < t.until), None)

    def _evidence(
        self,
        cause: int,
        person: int,
        slot: int,
        model: int,
        hour: int,
        strength: np.ndarray,
        known: np.ndarray,
        sums: np.ndarray,
        usual: np.ndarray,
    ) -> dict[str, Any]:
        if CAUSES[cause] == "personal:together":
            highest = int(sums.argmax())
            length = TOGETHER[highest]
            parts = np.clip(known[length] / UNIT[highest], 0, MOST)
        else:
            length = int(strength[:, cause].argmax())
            parts = np.where(np.arange(_C) == cause, np.maximum(strength[length], 0), 0)
        share = parts / parts.sum() if parts.sum() > 0 else parts
        window = self._rings().deviations(person, slot, WIDTH[length])
        spread = self._models.spread[model, hour]
        # At an hour that is hardly ever measured nothing is usual: there the day's middle is shown.
        usual = np.where(np.isfinite(usual), usual, self._models.shown[model])
        # A window holds deviations; in the unit of the vital they stand around what is usual now.
        means = np.ma.masked_invalid(window).mean(axis=0).filled(np.nan)
        return evidence.of_personal(
            window=LENGTHS[length],
            days=int(self._models.days[model]),
            version=self._models.names[model],
            coverage=float(np.isfinite(window).any(axis=1).mean()),
            channels={
                name: evidence.Unusual(
                    value=float(usual[i] + SIGN[i] * means[i] * spread[i]),
                    low=float(usual[i] - 2 * spread[i]),
                    high=float(usual[i] + 2 * spread[i]),
                    share=float(share[i]),
                    direction="high" if SIGN[i] > 0 else "low",
                    device_id=self._devices.names[self._state["device"][person, i]],
                )
                for i, name in enumerate(CHANNELS)
                if share[i] > 0 and np.isfinite(means[i])
            },
        )

    def _rings(self) -> Rings:
        return Rings(self._state["held"], self._state["total"], self._state["known"])

    def last_day(self, subject: str) -> np.ndarray:
        """What the windows hold of a person, (KEPT, CHANNELS) in spreads, the slot that was closed last at the end."""
        (person,) = self._people.numbers([subject])
        return self._rings().deviations(person, int(self._state["slot"][person]) - 1, KEPT)

    # --- people get their numbers as they come ---

    def _places(self, subjects: list[str]) -> list[int]:
        if new := self._people.add(subjects):
            for name, (shape, kind, start) in _STATE.items():
                more = np.full((len(new), *shape), start, kind)
                self._state[name] = np.concatenate([self._state[name], more])
            self._open = np.concatenate([self._open, np.zeros((len(new), len(CAUSES)), np.int8)])
            models = np.array([self._models.first(s) for s in new], np.int64)
            terms = np.array([self._terms.first(s) for s in new], np.int64)
            self._first_model = np.concatenate([self._first_model, models])
            self._first_term = np.concatenate([self._first_term, terms])
        return self._people.numbers(subjects)

    # --- checkpoints ---

    def packed(self) -> bytes:
        """The windows (not the episodes) as bytes, for `unpacked`."""
        names = {
            "subjects": np.array(self._people.names, "U32"),
            "devices": np.array(self._devices.names, "U128"),
        }
        return pack(_LAYOUT, {**names, **self._state})

    @classmethod
    def unpacked(cls, data: bytes, models: Models) -> "Personal | None":
        """The layer whose windows `packed` gave; None if they were packed by code with other columns."""
        if (found := unpack(_LAYOUT, data)) is None:
            return None
        layer = cls(models)
        layer._places(found["subjects"].tolist())
        layer._devices = Roster(found["devices"].tolist())
        layer._state = {name: found[name] for name in _STATE}
        return layer


_LAYOUT = "4:" + ",".join((*CHANNELS, *_STATE, str(KEPT)))
