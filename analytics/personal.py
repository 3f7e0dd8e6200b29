"""The personal layer of the watcher: people's slots as arrays, and what each reading changes in them.

A reading adds to its person's open slot of five minutes. The first reading of a later slot closes it: gate, deviation
from what is usual at this hour, statistics of the last minutes and hours, and the causes that follow. An episode opens
when a cause reaches its edge, and ends when it has stayed below `CALM_SHARE` of it for `CALM_FOR`. Silence between two
readings is slots in which nothing was known. A reading for a slot that is already closed, and one that came later than
`LATE`, changes nothing here: the nightly findings look at history.

As in the ward everything is a function of the readings in their order, so any batching, and a replay after a crash,
gives the same steps. This layer knows nothing of the absolute limits and cannot silence one. A context tag (ill,
travel, alcohol, exercise, vaccination) keeps an episode from opening; what it kept back is returned with its reason.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from analytics import evidence, windows
from analytics.episodes import Level, Step, Transition
from analytics.rounds import rounds
from analytics.slots import BREATH, CHANNELS, HEART, HIGH, LOW, MOVING, OXYGEN, RECOVERY, REST, SIGN, SLOT_MINUTES
from analytics.windows import KEPT, LENGTHS, TOGETHER, Edges, StreamModel

SECOND = 1_000_000
SLOT = SLOT_MINUTES * 60 * SECOND
HOUR = 3600 * SECOND
LATE = 30 * 60 * SECOND  # as in the ward: what came later than this is history
CALM_FOR = 2 * HOUR
CALM_SHARE = 0.8
LEVEL = Level.LOW_MEDIUM
NOBODY = -(2**40)  # the slot of a person nobody has heard of
WIDTH = {windows.QUARTER: 3, windows.HALF: 6, windows.HOUR: 12, windows.SIX: 72, windows.DAY: KEPT}

CAUSES = (
    *(f"personal:{name}:{'high' if sign > 0 else 'low'}" for name, sign in zip(CHANNELS, SIGN, strict=True)),
    "personal:together",
)
CAUSE = {name: i for i, name in enumerate(CAUSES)}

_C = len(CHANNELS)
_STATE: dict[str, tuple[tuple[int, ...], Any, Any]] = {
    # name: (shape for one person, type, value of a person nobody has heard of)
    "slot": ((), np.int64, NOBODY),
    "offset": ((), np.int64, 0),  # minutes from UTC, of the newest reading
    "sum": ((_C,), np.float64, 0.0),
    "count": ((_C,), np.int32, 0),
    "steps": ((), np.float64, 0.0),
    "moved": ((), np.int64, NOBODY),  # the newest slot with steps
    "left": ((len(RECOVERY),), np.float64, 0.0),
    "window": ((KEPT, _C), np.float32, np.nan),
    "calm_since": ((len(CAUSES),), np.int64, NOBODY),
    "kept_back": ((len(CAUSES),), bool, False),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings in their order: times in microseconds UTC, `values` (n, CHANNELS), `steps` (n,), NaN for not measured.

    `person` (n,) are places in `subjects`; `offset` is the minutes from UTC of the source.
    """

    subjects: list[str]
    person: np.ndarray
    at: np.ndarray
    offset: np.ndarray
    values: np.ndarray
    steps: np.ndarray


def batch_of(readings: pa.Table) -> Batch:
    """The batch of readings (READING_SCHEMA) in the order of their partition, without those that came late."""
    measured = readings["measured_at"].cast(pa.int64()).to_numpy()
    received = readings["received_at"].cast(pa.int64()).to_numpy()
    keep = np.flatnonzero(received - measured <= LATE)
    if len(keep) < len(measured):
        readings = readings.take(pa.array(keep))
    subjects = readings["subject"].combine_chunks().dictionary_encode()
    columns = [readings[name].cast(pa.float64()).to_numpy() for name in (*CHANNELS, "steps")]
    return Batch(
        subjects=subjects.dictionary.to_pylist(),
        person=subjects.indices.to_numpy(),
        at=np.minimum(measured[keep], received[keep]),
        offset=readings["offset_minutes"].to_numpy().astype(np.int64),
        values=np.column_stack(columns[:-1]),
        steps=columns[-1],
    )


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


class Models:
    """The models of many people as arrays; row 0 knows nothing and never alerts. Immutable, made anew on promotion."""

    def __init__(self, models: Mapping[str, StreamModel], edges: Edges, version: str) -> None:
        self.version = version
        self.edges = edges
        self.row = {subject: i for i, subject in enumerate(models, 1)}
        every = list(models.values())
        hours, lengths = (24, _C), (len(LENGTHS), _C)

        def stacked(nothing: np.ndarray, arrays: list[np.ndarray]) -> np.ndarray:
            return np.stack([nothing, *arrays])

        self.centre = stacked(np.full(hours, np.nan), [m.usual.centre for m in every])
        self.spread = stacked(np.ones(hours), [m.usual.spread for m in every])
        self.recovery = stacked(np.zeros((len(RECOVERY), _C)), [m.usual.recovery for m in every])
        self.middle = stacked(np.zeros(lengths), [m.middle for m in every])
        self.scale = stacked(np.ones(lengths), [m.scale for m in every])
        self.days = np.array([0, *(m.days for m in every)])


class Personal:
    """The personal layer for the people of one partition."""

    def __init__(self, models: Models) -> None:
        self.subjects: list[str] = []
        self._place: dict[str, int] = {}
        self._state = {name: np.empty((0, *shape), kind) for name, (shape, kind, _) in _STATE.items()}
        self._open = np.empty((0, len(CAUSES)), np.int8)
        self._model = np.empty(0, np.int64)
        self._tags: dict[str, list[Tag]] = {}
        self.models_are(models)

    # --- what is known from elsewhere ---

    def models_are(self, models: Models) -> None:
        self._models = models
        self._model = np.array([models.row.get(s, 0) for s in self.subjects], np.int64)

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
        steps: list[tuple[int, Transition]] = []
        kept: list[tuple[int, KeptBack]] = []
        for rows in rounds(person):
            people, slot = person[rows], batch.at[rows] // SLOT
            later = slot > self._state["slot"][people]
            if later.any():
                for row, found in self._close(people[later], slot[later], rows[later], batch, decide):
                    (kept if isinstance(found, KeptBack) else steps).append((row, found))  # type: ignore[arg-type]
            current = slot == self._state["slot"][people]
            self._add(people[current], rows[current], batch)
        return [t for _, t in sorted(steps, key=lambda s: s[0])], [k for _, k in sorted(kept, key=lambda s: s[0])]

    def _add(self, people: np.ndarray, rows: np.ndarray, batch: Batch) -> None:
        state, values = self._state, batch.values[rows]
        fits = (values >= LOW) & (values <= HIGH)
        state["sum"][people] += np.where(fits, values, 0)
        state["count"][people] += fits
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
        models, model = self._models, self._model[people]
        hour = ((closing * SLOT_MINUTES + state["offset"][people]) // 60) % 24
        usual = models.centre[model, hour] + np.einsum("nr,nrc->nc", state["left"][people], models.recovery[model])
        off = SIGN * (values - usual) / models.spread[model, hour]
        window = np.concatenate([state["window"][people, 1:], off[:, None].astype(np.float32)], axis=1)
        window[new] = np.nan
        found = []
        watched = np.flatnonzero((model > 0) & ~new)
        if len(watched):
            found = list(
                self._decide(
                    people[watched],
                    closing[watched],
                    window[watched],
                    values[watched],
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
        for skipped in np.unique(gap[gap > 0]).tolist():
            wide = min(skipped, KEPT)
            here = gap == skipped
            silence = np.full((int(here.sum()), wide, _C), np.nan, np.float32)
            window[here] = np.concatenate([window[here, wide:], silence], axis=1)
        state["window"][people] = window
        state["slot"][people] = following
        state["sum"][people] = 0
        state["count"][people] = 0
        state["steps"][people] = 0
        return found

    def _decide(
        self,
        people: np.ndarray,
        slot: np.ndarray,
        window: np.ndarray,
        values: np.ndarray,
        usual: np.ndarray,
        hour: np.ndarray,
        rows: np.ndarray,
        decide: bool,
    ) -> Iterable[tuple[int, Transition | KeptBack]]:
        models, model = self._models, self._model[people]
        single, together = windows.unusual(models.middle[model], models.scale[model], windows.statistics(window))
        known = np.where(np.isfinite(single), single, 0) / models.edges.single
        sums = together / models.edges.together
        strength = np.concatenate([known.max(axis=1), sums.max(axis=1, keepdims=True)], axis=1)
        since = self._state["calm_since"][people]
        since = np.where(strength < CALM_SHARE, np.where(since == NOBODY, slot[:, None], since), NOBODY)
        self._state["calm_since"][people] = since
        calm = (since != NOBODY) & ((slot[:, None] - since) * SLOT >= CALM_FOR)
        held = np.array([self._tag(int(p), int(s)) for p, s in zip(people, slot, strict=True)], object)
        explained = np.array([tag is not None for tag in held])[:, None]
        before, was_kept = self._open[people], self._state["kept_back"][people]
        above = strength >= 1
        rises = above & (before == Level.NONE) & ~explained
        kept = above & (before == Level.NONE) & explained & ~was_kept
        ends = (before > Level.NONE) & calm
        self._state["kept_back"][people] = (was_kept | kept) & explained & ~calm
        if not decide:
            return
        self._open[people] = np.where(rises, LEVEL, np.where(ends, Level.NONE, before))
        for n, cause in np.argwhere(rises | ends | kept).tolist():
            subject = self.subjects[people[n]]
            at = datetime.fromtimestamp((int(slot[n]) + 1) * SLOT / SECOND, UTC)
            if kept[n, cause]:
                yield int(rows[n]), KeptBack(subject, CAUSES[cause], at, held[n].name)
                continue
            shown = self._evidence(cause, model[n], hour[n], known[n], sums[n], window[n], values[n], usual[n])
            step = Step.ENDED if ends[n, cause] else Step.OPENED
            yield int(rows[n]), Transition(subject, CAUSES[cause], step, LEVEL, at, shown)

    def _tag(self, person: int, slot: int) -> Tag | None:
        tags = self._tags.get(self.subjects[person], ())
        return next((t for t in tags if t.since < (slot + 1) * SLOT and slot * SLOT < t.until), None)

    def _evidence(
        self,
        cause: int,
        model: int,
        hour: int,
        strength: np.ndarray,
        sums: np.ndarray,
        window: np.ndarray,
        values: np.ndarray,
        usual: np.ndarray,
    ) -> dict[str, Any]:
        if CAUSES[cause] == "personal:together":
            length = TOGETHER[int(sums.argmax())]
            parts = np.maximum(strength[length], 0)
        else:
            length = int(strength[:, cause].argmax())
            parts = np.where(np.arange(_C) == cause, np.maximum(strength[length], 0), 0)
        share = parts / parts.sum() if parts.sum() > 0 else parts
        width = WIDTH[length]
        spread = self._models.spread[model, hour]
        # A window holds deviations; in the unit of the vital they stand around what is usual now.
        means = np.ma.masked_invalid(window[-width:]).mean(axis=0).filled(np.nan)
        return evidence.of_personal(
            window=LENGTHS[length],
            days=int(self._models.days[model]),
            version=self._models.version,
            coverage=float(np.isfinite(window[-width:]).any(axis=1).mean()),
            channels={
                name: evidence.Unusual(
                    value=float(usual[i] + SIGN[i] * means[i] * spread[i]),
                    low=float(usual[i] - 2 * spread[i]),
                    high=float(usual[i] + 2 * spread[i]),
                    share=float(share[i]),
                )
                for i, name in enumerate(CHANNELS)
                if share[i] > 0 and np.isfinite(means[i])
            },
        )

    # --- people get their numbers as they come ---

    def _places(self, subjects: list[str]) -> list[int]:
        if new := [s for s in subjects if s not in self._place]:
            for subject in new:
                self._place[subject] = len(self.subjects)
                self.subjects.append(subject)
            for name, (shape, kind, start) in _STATE.items():
                more = np.full((len(new), *shape), start, kind)
                self._state[name] = np.concatenate([self._state[name], more])
            self._open = np.concatenate([self._open, np.zeros((len(new), len(CAUSES)), np.int8)])
            rows = np.array([self._models.row.get(s, 0) for s in new], np.int64)
            self._model = np.concatenate([self._model, rows])
        return [self._place[s] for s in subjects]

    # --- checkpoints ---

    def packed(self) -> bytes:
        """The windows (not the episodes) as bytes, for `unpacked`."""
        sink = io.BytesIO()
        np.savez(sink, layout=np.array(_LAYOUT), subjects=np.array(self.subjects, "U32"), **self._state)  # type: ignore[arg-type]
        return sink.getvalue()

    @classmethod
    def unpacked(cls, data: bytes, models: Models) -> "Personal | None":
        """The layer whose windows `packed` gave; None if they were packed by code with other columns."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            if str(found["layout"]) != _LAYOUT:
                return None
            layer = cls(models)
            layer._places(found["subjects"].tolist())
            layer._state = {name: found[name] for name in _STATE}
            return layer


_LAYOUT = "1:" + ",".join((*CHANNELS, *_STATE, str(KEPT)))
