"""What would have fired: a person's last weeks, replayed through the ward under other terms. Pure.

The same code decides that decides live. Three simplifications make weeks fit into seconds: every reading counts as
received when it was measured, each device is read at most once a minute, and of hours in which nothing could fire one
reading every quarter of an hour is enough.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from analytics.batch import batch_of, watched_values
from analytics.episodes import Level, Step
from analytics.limits import INPUTS, OXYGEN, SPO2, points
from analytics.terms import WATCHED, Terms
from analytics.ward import Ward, inputs_of

EVERY = 60 * 1_000_000  # microseconds between the readings of one device that are replayed
BEAT = 15 * EVERY  # between the readings that are kept of a time in which nothing could fire
NEAR = 60 * EVERY  # around a moment at which something could: conditions begin before it and end after it
AT_ONCE = 20_000
AROUND = timedelta(hours=1)  # an alert this close to a known event counts as having told of it


@dataclass(frozen=True, slots=True)
class Fired:
    """One alert that would have been raised. Times are UTC; `ended_at` is None if it still lasted at the end."""

    subject: str
    cause: str
    level: Level
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """Something that is known to have happened to a person, during [began_at, ended_at]."""

    subject: str
    began_at: datetime
    ended_at: datetime


def replay(readings: pa.Table, terms: Terms) -> list[Fired]:
    """The alerts that these readings (READING_SCHEMA, any order) would have raised under these terms, in order."""
    readings = telling(thinned(readings), terms)
    ward = Ward()
    ward.terms_are(terms)
    open_episodes: dict[tuple[str, str], Fired] = {}
    fired: list[Fired] = []
    for begin in range(0, readings.num_rows, AT_ONCE):
        for step in ward.take(batch_of(readings.slice(begin, AT_ONCE))):
            key = (step.subject, step.cause)
            before = open_episodes.pop(key, None)
            if step.step == Step.ENDED and before is not None:
                fired.append(Fired(before.subject, before.cause, before.level, before.began_at, step.at))
            elif step.step != Step.ENDED:
                began = before.began_at if before is not None else step.at
                open_episodes[key] = Fired(step.subject, step.cause, step.level, began, None)
    return sorted([*fired, *open_episodes.values()], key=lambda f: (f.began_at, f.subject, f.cause))


def thinned(readings: pa.Table) -> pa.Table:
    """Readings in order of time, one a minute and device, each received when it was measured."""
    readings = readings.sort_by([("measured_at", "ascending")])
    minute = readings["measured_at"].cast(pa.int64()).to_numpy() // EVERY
    device = readings["device_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    # A device that sends one vital in one packet and another in the next must not lose the second.
    measured = np.zeros(len(minute), np.int64)
    for column, name in enumerate(WATCHED):
        measured |= np.asarray(readings[name].combine_chunks().is_valid()).astype(np.int64) << column
    _, first = np.unique(np.stack([minute, device, measured]), axis=1, return_index=True)
    kept = readings.take(pa.array(np.sort(first)))
    return kept.set_column(kept.schema.get_field_index("received_at"), "received_at", kept["measured_at"])


def telling(readings: pa.Table, terms: Terms) -> pa.Table:
    """Of readings in order of time those that decide anything: near a moment at which these terms could fire, else one
    every quarter of an hour and person.

    They could fire where a vital is outside a limit, scores 3, or the NEWS2 points of the newest three readings of each
    vital, the highest counting, add up to 5: with fewer points nothing counts (see `analytics.ward`).
    """
    if readings.num_rows == 0:
        return readings
    subjects = readings["subject"].combine_chunks().dictionary_encode()
    person, at = subjects.indices.to_numpy(), readings["measured_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((at, person))
    person, at = person[order], at[order]
    first = np.array([terms.first(s) for s in subjects.dictionary.to_pylist()], np.int64)[person]
    row, _ = terms.in_force(first, at)
    values = watched_values(readings)[order]
    could = _could_fire(values, person, row, terms)

    near = np.zeros(len(at), bool)
    for one in np.unique(person).tolist():
        mine = np.flatnonzero(person == one)
        moments = at[mine][could[mine]]
        after = np.searchsorted(moments, at[mine] - NEAR, side="left") < len(moments)
        nearest = np.searchsorted(moments, at[mine] - NEAR, side="left")
        inside = after & (np.take(np.r_[moments, np.iinfo(np.int64).max], nearest) <= at[mine] + NEAR)
        near[mine] = inside
    beat = np.r_[True, (np.diff(at // BEAT) != 0) | (np.diff(person) != 0)]
    return readings.take(pa.array(np.sort(order[near | beat])))


def _could_fire(values: np.ndarray, person: np.ndarray, row: np.ndarray, terms: Terms) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        outside = ((values < terms.low[row]) | (values > terms.high[row])).any(axis=1)
    inputs = inputs_of(values)
    scale_2 = terms.scale[row] == 2
    scored = points(inputs, scale_2)
    on_oxygen = inputs.copy()
    on_oxygen[:, OXYGEN] = 1.0
    scored[:, SPO2] = np.maximum(scored[:, SPO2], points(on_oxygen, scale_2)[:, SPO2])
    scored[terms.scale[row] == 0] = 0
    bound = np.zeros(len(values), np.int64)
    for column in range(len(INPUTS)):
        measured = np.flatnonzero(~np.isnan(inputs[:, column]))
        if len(measured) == 0:
            continue
        highest = scored[measured, column].astype(np.int64)
        for back in (1, 2):
            earlier = np.r_[np.zeros(back, np.int64), scored[measured, column][:-back]]
            same = np.r_[np.zeros(back, bool), person[measured][back:] == person[measured][:-back]]
            highest = np.maximum(highest, np.where(same, earlier, 0))
        newest = np.searchsorted(measured, np.arange(len(values)), side="right") - 1
        known = (newest >= 0) & (person[measured[np.maximum(newest, 0)]] == person)
        of_vital = np.where(known, highest[np.maximum(newest, 0)], 0)
        bound += of_vital + np.where(of_vital == 3, 2, 0)  # a single 3 is enough by itself
    could: np.ndarray = outside | (bound >= 5)
    return could


def missed(fired: Iterable[Fired], known: Sequence[Known], end: datetime) -> list[Known]:
    """The known events during which, and an hour around which, nothing would have fired. `end` is the replay's end."""
    alerts = list(fired)
    return [
        event
        for event in known
        if not any(
            alert.subject == event.subject
            and alert.began_at <= event.ended_at + AROUND
            and (alert.ended_at or end) >= event.began_at - AROUND
            for alert in alerts
        )
    ]
