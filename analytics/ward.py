"""The ward: what the watcher holds of the people of one partition, as arrays, and what each reading changes in it.

A reading moves a person's values and the *conditions* on them: each input of NEWS2 scores at least 1, 2 or 3 points; a
vital is below or above the plan's own limit. A condition counts once a second reading at least CONFIRMED_AFTER later
shows it again, with never two readings in a row between that do not, so that a spike alerts nobody; where a reading is
due less often than every ten minutes it counts at once, and the alert says that it is not confirmed. The causes of
episodes ("news2", "limit:<vital>:low", "limit:<vital>:high") follow from the conditions that count: an episode opens,
worsens, and ends when its cause has been away for CALM_FOR (hysteresis). A value too old to stand for the present opens
nothing, and ends nothing.

Everything here is a function of the readings in their order, so any batching, and a replay after a crash, gives the
same steps. Episodes live in the database; `open_level` mirrors them.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from analytics import evidence
from analytics.episodes import Level, Step, Transition
from analytics.limits import INPUTS, levels, points
from analytics.roster import Roster
from analytics.rounds import rounds
from analytics.terms import COLUMN, WATCHED, Terms
from ingestion.vitals import CODES, VITALS

SECOND = 1_000_000
CONFIRMED_AFTER = 30 * SECOND
CALM_FOR = 15 * 60 * SECOND
LATE = 30 * 60 * SECOND  # received later than this after it was measured: history, never a page
LIMIT_LEVEL = Level.MEDIUM  # a plan's limit asks for an urgent review, as NEWS2's 5 does

UNKNOWN = -(2**62)  # far enough back, and no difference of it overflows
_NEWS2 = np.array([COLUMN[name] for name in INPUTS])
_MAX_AGE = np.array([VITALS[name].max_age_s * SECOND for name in WATCHED])

# Conditions: the seven inputs with at least 1, 2, 3 points; every vital below its low limit; above its high limit.
_POINTS = slice(0, 21)
_VITAL_OF = np.concatenate([np.repeat(_NEWS2, 3), np.arange(len(WATCHED)), np.arange(len(WATCHED))])
CAUSES: tuple[str, ...] = (
    "news2",
    *(f"limit:{name}:low" for name in WATCHED),
    *(f"limit:{name}:high" for name in WATCHED),
)
CAUSE = {name: i for i, name in enumerate(CAUSES)}

_STATE: dict[str, tuple[int, Any, Any]] = {
    # name: (columns, type, value of a person nobody has heard of)
    "value": (len(WATCHED), np.float64, np.nan),
    "at": (len(WATCHED), np.int64, UNKNOWN),
    "device": (len(WATCHED), np.int32, 0),
    "since": (len(_VITAL_OF), np.int64, UNKNOWN),  # first reading of the present run that shows the condition
    "missed": (len(_VITAL_OF), np.int8, 0),  # readings in a row that do not
    "counts": (len(_VITAL_OF), bool, False),
    "calm_since": (len(CAUSES), np.int64, UNKNOWN),
}


@dataclass(slots=True)
class _Batch:
    """Readings as arrays, one row per reading that counts for live scoring, in order of arrival."""

    person: np.ndarray
    at: np.ndarray  # measured, but never later than received: a fast clock must not hide what comes after
    received: np.ndarray
    device: np.ndarray
    values: np.ndarray  # (n, len(WATCHED))


class Ward:
    """The people of one partition of `vitals.admitted`."""

    def __init__(self) -> None:
        self._people, self._devices = Roster(), Roster([""])
        self._state = {name: np.empty((0, n), kind) for name, (n, kind, _) in _STATE.items()}
        self._clock = np.empty(0, np.int64)
        self._open = np.empty((0, len(CAUSES)), np.int8)
        self._terms = Terms([])
        self._first = np.empty(0, np.int64)

    # --- what is known from elsewhere ---

    def terms_are(self, terms: Terms) -> None:
        self._terms = terms
        self._first = np.array([terms.first(s) for s in self._people.names], np.int64)

    def open_episodes_are(self, episodes: Iterable[tuple[str, str, int]]) -> None:
        """(subject, cause, level) of every open episode, as the database has it; others' causes are left out."""
        self._open[:] = Level.NONE
        for subject, cause, level in episodes:
            if cause in CAUSE:
                place = self._places([subject])[0]  # may make room first
                self._open[place, CAUSE[cause]] = level

    # --- readings ---

    def take(self, readings: pa.Table, *, decide: bool = True) -> list[Transition]:
        """Take readings (READING_SCHEMA) in the order of their partition; the steps they cause, in that order.

        With `decide=False` only the windows move: these readings were decided before.
        """
        batch = self._batch(readings)
        steps: list[tuple[int, Transition]] = []
        for rows in rounds(batch.person):
            people = batch.person[rows]
            row, watched = self._terms.in_force(self._first[people], batch.received[rows])
            scored, unconfirmed = self._move(batch, rows, people, row)
            red, calm = self._causes(people, batch.received[rows], scored)
            since = self._state["calm_since"][people]
            since = np.where(calm, np.where(since == UNKNOWN, self._clock[people, None], since), UNKNOWN)
            self._state["calm_since"][people] = since
            if decide:
                calm_long = calm & (self._clock[people, None] - since >= CALM_FOR)
                for place, transition in self._decide(people, row, watched, red, calm_long, unconfirmed, batch, rows):
                    steps.append((place, transition))
        return [transition for _, transition in sorted(steps, key=lambda s: s[0])]

    def _batch(self, readings: pa.Table) -> _Batch:
        measured = readings["measured_at"].cast(pa.int64()).to_numpy()
        received = readings["received_at"].cast(pa.int64()).to_numpy()
        keep = np.flatnonzero(received - measured <= LATE)
        readings = readings if len(keep) == len(measured) else readings.take(pa.array(keep))
        received = received[keep]
        values = np.full((len(keep), len(WATCHED)), np.nan)
        for column, name in enumerate(WATCHED):
            array = readings[name]
            if array.null_count == len(keep):
                continue
            if name in CODES:
                codes = VITALS[name].codes
                values[:, column] = [np.nan if c is None else codes.index(c) for c in array.to_pylist()]
            else:
                values[:, column] = array.cast(pa.float64()).to_numpy()
        subjects = readings["subject"].combine_chunks().dictionary_encode()
        devices = readings["device_id"].combine_chunks().dictionary_encode()
        return _Batch(
            person=np.array(self._places(subjects.dictionary.to_pylist()), np.int64)[subjects.indices.to_numpy()],
            at=np.minimum(measured[keep], received),
            received=received,
            device=np.array(self._device_numbers(devices.dictionary.to_pylist()), np.int32)[devices.indices.to_numpy()],
            values=values,
        )

    def _move(
        self, batch: _Batch, rows: np.ndarray, people: np.ndarray, row: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move values and conditions by one reading of each of these people.

        Gives NEWS2 points that count, (n, 7), and which conditions count from one reading only, (n, conditions).
        """
        state, terms = self._state, self._terms
        at = batch.at[rows, None]
        newer = ~np.isnan(batch.values[rows]) & (at > state["at"][people])
        values = np.where(newer, batch.values[rows], state["value"][people])
        state["value"][people] = values
        state["at"][people] = times = np.where(newer, at, state["at"][people])
        state["device"][people] = np.where(newer, batch.device[rows, None], state["device"][people])
        self._clock[people] = np.maximum(self._clock[people], batch.at[rows])

        inputs = values[:, _NEWS2]
        inputs[:, INPUTS.index("consciousness")] = np.minimum(inputs[:, INPUTS.index("consciousness")], 1)
        raw = points(inputs, terms.scale[row] == 2)
        raw[terms.scale[row] == 0] = 0
        with np.errstate(invalid="ignore"):
            shows = np.concatenate(
                [
                    (raw[:, :, None] >= np.arange(1, 4)).reshape(len(rows), 21),
                    values < terms.low[row],
                    values > terms.high[row],
                ],
                axis=1,
            )
        moved, slow, at_of = newer[:, _VITAL_OF], terms.slow[row][:, _VITAL_OF], times[:, _VITAL_OF]
        missed = np.where(shows, 0, np.minimum(state["missed"][people] + 1, 2))
        broken = ~shows & ((missed >= 2) | slow)
        since = np.where(shows & (state["since"][people] == UNKNOWN), at_of, state["since"][people])
        since = np.where(broken, UNKNOWN, since)
        counts = np.where(shows, slow | (at_of - since >= CONFIRMED_AFTER), state["counts"][people] & ~broken)
        state["missed"][people] = np.where(moved, missed, state["missed"][people])
        state["since"][people] = np.where(moved, since, state["since"][people])
        state["counts"][people] = counting = np.where(moved, counts, state["counts"][people])
        once = counting & (at_of - state["since"][people] < CONFIRMED_AFTER)
        return counting[:, _POINTS].reshape(len(rows), 7, 3).sum(axis=2).astype(np.int8), once

    def _fresh(self, people: np.ndarray, received: np.ndarray) -> np.ndarray:
        at = self._state["at"][people]
        fresh: np.ndarray = received[:, None] - at <= _MAX_AGE
        return fresh

    def _causes(self, people: np.ndarray, received: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each person and cause: the level it has now from fresh values, and whether it is away for certain."""
        fresh = self._fresh(people, received)
        limits = self._state["counts"][people][:, 21:]
        red = np.empty((len(people), len(CAUSES)), np.int8)
        red[:, 0] = levels(np.where(fresh[:, _NEWS2], scored, 0))
        red[:, 1:] = np.where(limits & np.concatenate([fresh, fresh], axis=1), LIMIT_LEVEL, Level.NONE)
        calm = np.empty(red.shape, bool)
        calm[:, 0] = levels(scored) == Level.NONE
        calm[:, 1:] = ~limits
        return red, calm

    def _decide(
        self,
        people: np.ndarray,
        row: np.ndarray,
        watched: np.ndarray,
        red: np.ndarray,
        calm_long: np.ndarray,
        unconfirmed: np.ndarray,
        batch: _Batch,
        rows: np.ndarray,
    ) -> Iterable[tuple[int, Transition]]:
        before = self._open[people]
        rises = (red > before) & watched[:, None]
        ends = (before > Level.NONE) & calm_long & watched[:, None]
        self._open[people] = np.where(rises, red, np.where(ends, Level.NONE, before))
        for n, cause in np.argwhere(rises | ends).tolist():
            step = Step.ENDED if ends[n, cause] else Step.WORSENED if before[n, cause] else Step.OPENED
            level = before[n, cause] if ends[n, cause] else red[n, cause]
            place = int(rows[n])
            yield (
                place,
                Transition(
                    subject=self._people.names[people[n]],
                    cause=CAUSES[cause],
                    step=step,
                    level=Level(int(level)),
                    at=datetime.fromtimestamp(int(batch.at[place]) / SECOND, UTC),
                    evidence=self._evidence(
                        int(people[n]), cause, int(row[n]), int(batch.received[place]), unconfirmed[n]
                    ),
                ),
            )

    def _evidence(self, person: int, cause: int, row: int, received: int, unconfirmed: np.ndarray) -> dict[str, Any]:
        if cause:
            _, name, direction = CAUSES[cause].split(":")
            limit = self._terms.rows[row].limits.get(name)
            edge = (limit.low if direction == "low" else limit.high) if limit else None
            return evidence.of_limit(
                name,
                self._measured(person, COLUMN[name], None),
                limit=edge,
                direction=direction,
                reason=limit.reason if limit else "",
                unconfirmed=bool(unconfirmed[20 + cause]),
            )
        fresh = self._fresh(np.array([person]), np.array([received]))[0, _NEWS2]
        scored = self._state["counts"][person, _POINTS].reshape(7, 3).sum(axis=1)
        known = {
            name: self._measured(person, COLUMN[name], int(scored[i])) for i, name in enumerate(INPUTS) if fresh[i]
        }
        deciding = np.repeat((scored > 0) & fresh, 3)
        return evidence.of_news2(
            known,
            score=int(scored[fresh].sum()),
            inputs=int(fresh.sum()),
            scale=int(self._terms.scale[row]),
            unconfirmed=bool((unconfirmed[_POINTS] & deciding).any()),
        )

    def _measured(self, person: int, column: int, scored: int | None) -> evidence.Measured:
        state = self._state
        return evidence.Measured(
            value=float(state["value"][person, column]),
            measured_at=int(state["at"][person, column]),
            device_id=self._devices.names[state["device"][person, column]],
            points=scored,
        )

    def latest(self) -> Iterable[tuple[str, str, float | str, datetime, str]]:
        """(subject, vital, value, measured_at in UTC, device id) of every value the windows hold."""
        for person, column in np.argwhere(self._state["at"] != UNKNOWN).tolist():
            name, value = WATCHED[column], float(self._state["value"][person, column])
            at = datetime.fromtimestamp(int(self._state["at"][person, column]) / SECOND, UTC)
            codes = VITALS[name].codes
            shown = codes[int(value)] if codes else value
            yield (
                self._people.names[person],
                name,
                shown,
                at,
                self._devices.names[self._state["device"][person, column]],
            )

    # --- people and devices get their numbers as they come ---

    def _places(self, subjects: list[str]) -> list[int]:
        if new := self._people.add(subjects):
            for name, (columns, kind, start) in _STATE.items():
                self._state[name] = np.concatenate([self._state[name], np.full((len(new), columns), start, kind)])
            self._clock = np.concatenate([self._clock, np.full(len(new), UNKNOWN)])
            self._open = np.concatenate([self._open, np.zeros((len(new), len(CAUSES)), np.int8)])
            self._first = np.concatenate([self._first, np.array([self._terms.first(s) for s in new], np.int64)])
        return self._people.numbers(subjects)

    def _device_numbers(self, devices: list[str]) -> list[int]:
        self._devices.add(devices)
        return self._devices.numbers(devices)

    # --- checkpoints ---

    def packed(self) -> bytes:
        """The windows (not the episodes) as bytes, for `unpacked`."""
        sink = io.BytesIO()
        arrays: dict[str, Any] = {
            "layout": np.array(_LAYOUT),
            "subjects": np.array(self._people.names, "U32"),
            "devices": np.array(self._devices.names, "U128"),
            "clock": self._clock,
            **self._state,
        }
        np.savez(sink, **arrays)
        return sink.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> "Ward | None":
        """The ward whose windows `packed` gave; None if they were packed by code with other columns."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            if str(found["layout"]) != _LAYOUT:
                return None
            ward = cls()
            ward._places(found["subjects"].tolist())
            ward._devices = Roster(found["devices"].tolist())
            ward._clock = found["clock"]
            ward._state = {name: found[name] for name in _STATE}
            return ward


_LAYOUT = "1:" + ",".join(WATCHED)
