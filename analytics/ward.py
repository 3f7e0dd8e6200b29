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

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from analytics import evidence
from analytics.batch import Batch
from analytics.episodes import Level, Step, Transition
from analytics.limits import CONSCIOUSNESS, INPUTS, levels, points
from analytics.packing import pack, unpack
from analytics.roster import Roster
from analytics.terms import COLUMN, WATCHED, Terms
from ingestion.vitals import VITALS

SECOND = 1_000_000
CONFIRMED_AFTER = 30 * SECOND
CALM_FOR = 15 * 60 * SECOND
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


def inputs_of(values: np.ndarray) -> np.ndarray:
    """The inputs of NEWS2 (n, INPUTS) of values (n, WATCHED): whoever is not alert is not alert."""
    inputs = values[:, _NEWS2]
    inputs[:, CONSCIOUSNESS] = np.minimum(inputs[:, CONSCIOUSNESS], 1)
    return inputs


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

    def take(self, batch: Batch, *, decide: bool = True) -> list[Transition]:
        """Take readings in the order of their partition; the steps they cause, in that order.

        With `decide=False` only the windows move: these readings were decided before.
        """
        places = np.array(self._places(batch.subjects), np.int64)
        person = places[batch.person]
        device = np.array(self._devices.enrol(batch.devices), np.int32)[batch.device]
        row, watched = self._terms.in_force(self._first[person], batch.received)
        at_issue = self._at_issue(places, batch, row)
        steps: list[tuple[int, Transition]] = []
        for rows in batch.rounds:
            newer, values, times = self._hold(batch, rows, person[rows], device[rows])
            if not (here := at_issue[rows]).all():
                rows, newer, values, times = rows[here], newer[here], values[here], times[here]
            if not len(rows):
                continue
            people = person[rows]
            scored, unconfirmed = self._move(people, row[rows], newer, values, times)
            red, calm = self._causes(people, batch.received[rows], scored)
            since = self._state["calm_since"][people]
            since = np.where(calm, np.where(since == UNKNOWN, self._clock[people, None], since), UNKNOWN)
            self._state["calm_since"][people] = since
            if decide:
                calm_long = calm & (self._clock[people, None] - since >= CALM_FOR)
                found = self._decide(people, row[rows], watched[rows], red, calm_long, unconfirmed, batch, rows)
                steps += found
        return [transition for _, transition in sorted(steps, key=lambda s: s[0])]

    def _at_issue(self, places: np.ndarray, batch: Batch, row: np.ndarray) -> np.ndarray:
        """Which readings (n,) may change more than values.

        Most do not: no reading of the batch shows a condition on its person, and none has shown, counted or been
        alerted for so long that every cause is known to be away.
        """
        state = self._state
        somebody = (state["since"][places] != UNKNOWN).any(axis=1) | state["counts"][places].any(axis=1)
        somebody |= (self._open[places] > Level.NONE).any(axis=1) | (state["calm_since"][places] == UNKNOWN).any(axis=1)
        # On scale 2 what a saturation shows depends on the oxygen that was told before.
        shows = self._shows(batch.values, row).any(axis=1) | (self._terms.scale[row] == 2)
        somebody[batch.person[shows]] = True
        at_issue: np.ndarray = somebody[batch.person]
        return at_issue

    def _hold(
        self, batch: Batch, rows: np.ndarray, people: np.ndarray, device: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take the values of one reading of each of these people; which are newer than those held, and what is held
        now and since when, all (n, WATCHED)."""
        state = self._state
        at, brought = batch.at[rows], batch.values[rows]
        newer = ~np.isnan(brought) & (at[:, None] > state["at"][people])
        state["value"][people] = values = np.where(newer, brought, state["value"][people])
        state["at"][people] = times = np.where(newer, at[:, None], state["at"][people])
        state["device"][people] = np.where(newer, device[:, None], state["device"][people])
        self._clock[people] = np.maximum(self._clock[people], at)
        return newer, values, times

    def _shows(self, values: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Which conditions values (n, WATCHED) show under these rows of the terms, (n, conditions)."""
        terms = self._terms
        raw = points(inputs_of(values), terms.scale[row] == 2)
        raw[terms.scale[row] == 0] = 0
        scored = (raw[:, :, None] >= np.arange(1, 4)).reshape(len(row), 21)
        with np.errstate(invalid="ignore"):
            return np.concatenate([scored, values < terms.low[row], values > terms.high[row]], axis=1)

    def _move(
        self, people: np.ndarray, row: np.ndarray, newer: np.ndarray, values: np.ndarray, times: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move the conditions on these people by what `_hold` gave.

        Gives NEWS2 points that count, (n, 7), and which conditions count from one reading only, (n, conditions).
        """
        state = self._state
        shows = self._shows(values, row)
        moved, slow, at_of = newer[:, _VITAL_OF], self._terms.slow[row][:, _VITAL_OF], times[:, _VITAL_OF]
        missed = np.where(shows, 0, np.minimum(state["missed"][people] + 1, 2))
        broken = ~shows & ((missed >= 2) | slow)
        since = np.where(shows & (state["since"][people] == UNKNOWN), at_of, state["since"][people])
        since = np.where(broken, UNKNOWN, since)
        counts = np.where(shows, slow | (at_of - since >= CONFIRMED_AFTER), state["counts"][people] & ~broken)
        state["missed"][people] = np.where(moved, missed, state["missed"][people])
        state["since"][people] = np.where(moved, since, state["since"][people])
        state["counts"][people] = counting = np.where(moved, counts, state["counts"][people])
        once = counting & (at_of - state["since"][people] < CONFIRMED_AFTER)
        return counting[:, _POINTS].reshape(len(people), 7, 3).sum(axis=2).astype(np.int8), once

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
        batch: Batch,
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

    # --- people get their numbers as they come ---

    def _places(self, subjects: list[str]) -> list[int]:
        if new := self._people.add(subjects):
            for name, (columns, kind, start) in _STATE.items():
                self._state[name] = np.concatenate([self._state[name], np.full((len(new), columns), start, kind)])
            self._clock = np.concatenate([self._clock, np.full(len(new), UNKNOWN)])
            self._open = np.concatenate([self._open, np.zeros((len(new), len(CAUSES)), np.int8)])
            self._first = np.concatenate([self._first, np.array([self._terms.first(s) for s in new], np.int64)])
        return self._people.numbers(subjects)

    # --- checkpoints ---

    def packed(self) -> bytes:
        """The windows (not the episodes) as bytes, for `unpacked`."""
        names = {
            "subjects": np.array(self._people.names, "U32"),
            "devices": np.array(self._devices.names, "U128"),
        }
        return pack(_LAYOUT, {**names, "clock": self._clock, **self._state})

    @classmethod
    def unpacked(cls, data: bytes) -> "Ward | None":
        """The ward whose windows `packed` gave; None if they were packed by code with other columns."""
        if (found := unpack(_LAYOUT, data)) is None:
            return None
        ward = cls()
        ward._places(found["subjects"].tolist())
        ward._devices = Roster(found["devices"].tolist())
        ward._clock = found["clock"]
        ward._state = {name: found[name] for name in _STATE}
        return ward


_LAYOUT = "1:" + ",".join(WATCHED)
