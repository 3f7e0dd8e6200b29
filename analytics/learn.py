"""Learning from the lake: one person's slots, the model fitted on them, and how versions do on recent days.

The pure parts are `analytics.train` and `analytics.windows`; here history is read, one person at a time, so that memory
does not grow with the number of people.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from analytics import train
from analytics.batch import LATE
from analytics.rings import KEPT
from analytics.slots import CHANNELS, HIGH, LOW, SLOT_MINUTES, SLOTS_A_DAY, Slots
from analytics.store import Card
from analytics.train import Replay
from analytics.windows import Edges, StreamModel
from ingestion import lake as readings

Models = tuple[Mapping[str, StreamModel], Edges]  # by subject
Spans = tuple[tuple[datetime, datetime], ...]

SLOT_US = SLOT_MINUTES * 60_000_000
DAY = timedelta(days=1)
LEARNED = timedelta(days=train.WINDOW_DAYS)
LOOKED_BACK = timedelta(days=7)  # in which what came late is still judged
COLUMNS = ("measured_at", "offset_minutes", *CHANNELS, "steps")


@dataclass(frozen=True, slots=True)
class Learner:
    """Whom to learn. `alarms` are times [begin, end) of alerts, which are not learned from; `events` those of them that
    somebody called useful, which a version must still find. All aware, UTC."""

    organisation: str
    subject: str
    alarms: Sequence[tuple[datetime, datetime]] = ()
    events: Sequence[tuple[datetime, datetime]] = ()


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of one person: the new model (None while too little is known), the days it knows, how versions did on
    recent days, by version, and the unusual times [begin, end), UTC, of which the watcher was told too late."""

    subject: str
    model: StreamModel | None
    days: int
    replays: Mapping[str, Replay]
    late: Spans = ()


def slots(rows: pa.Table, begin: datetime, end: datetime) -> Slots:
    """Readings (COLUMNS, of one person, in order of time) as the slots of [begin, end), empty ones included."""
    first, last = _slot(begin), _slot(end)
    n = last - first
    at = rows["measured_at"].cast(pa.int64()).to_numpy() // SLOT_US - first
    inside = (at >= 0) & (at < n)
    values = np.full((n, len(CHANNELS)), np.nan)
    for channel, name in enumerate(CHANNELS):
        column = rows[name].cast(pa.float64()).to_numpy()
        fits = inside & (column >= LOW[channel]) & (column <= HIGH[channel])
        count = np.bincount(at[fits], minlength=n)
        total = np.bincount(at[fits], column[fits], minlength=n)
        values[:, channel] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    steps = rows["steps"].cast(pa.float64()).to_numpy()
    told = inside & np.isfinite(steps)
    counted = np.bincount(at[told], minlength=n) > 0
    walked = np.where(counted, np.bincount(at[told], steps[told], minlength=n), np.nan)
    offset = np.zeros(n, np.int64)
    offset[at[inside]] = rows["offset_minutes"].to_numpy()[inside]
    newest = np.maximum.accumulate(np.where(np.bincount(at[inside], minlength=n) > 0, np.arange(n), 0))
    hour = (((first + np.arange(n)) * SLOT_MINUTES + offset[newest]) // 60) % 24
    return Slots(values, walked, hour)


def learn(
    lake: str,
    people: Iterable[Learner],
    *,
    end: datetime,
    edges: Edges,
    judged: Mapping[str, Models],
    since: datetime | None,
    in_force: Models | None = None,
) -> Iterator[Learned]:
    """Fit each of these people on the days before `end` (a midnight of UTC), and replay versions.

    `judged` has the versions to replay over [since, end); with `since` None there is none, and the new model is
    replayed under the name "" on its last day, fitted without it. By the models `in_force` what came late is judged.
    """
    begin = end - LEARNED
    for person in people:
        rows = readings.read(
            lake,
            organisation=person.organisation,
            subject=person.subject,
            start=begin,
            end=end,
            columns=(*COLUMNS, "received_at"),
        )
        history = slots(rows, begin, end)
        alarm = _days(person.alarms, begin, end)
        model = train.fit(history, alarm)
        measured = measured_days(history)
        replays: dict[str, Replay] = {}
        if since is not None:
            recent = range(max(_slot(since) - _slot(begin), 0), len(history.hour))
            for name, (models, its_edges) in judged.items():
                if (its := models.get(person.subject)) is not None:
                    replays[name] = _replay(its, its_edges, history, recent, _events(person, begin))
        elif (replay := held_out(history, edges, alarm, _events(person, begin))) is not None:
            replays[""] = replay
        late: Spans = ()
        if in_force is not None and (its := in_force[0].get(person.subject)) is not None:
            late = found_late(its, in_force[1], history, came_late(rows, begin, end), begin)
        yield Learned(person.subject, model, measured, replays, late)


def came_late(rows: pa.Table, begin: datetime, end: datetime) -> np.ndarray:
    """Which slots of [begin, end) have a reading that came too late for the watcher, (n,) bool."""
    first, n = _slot(begin), _slot(end) - _slot(begin)
    measured, received = (rows[name].cast(pa.int64()).to_numpy() for name in ("measured_at", "received_at"))
    at = measured // SLOT_US - first
    late = np.zeros(n, bool)
    late[at[(received - measured > LATE) & (at >= 0) & (at < n)]] = True
    return late


def found_late(model: StreamModel, edges: Edges, history: Slots, late: np.ndarray, begin: datetime) -> Spans:
    """What a model in force says of the last `LOOKED_BACK` of the history, where something of it came `late` (n,)."""
    if not late.any():
        return ()
    first = max(len(history.hour) - LOOKED_BACK // DAY * SLOTS_A_DAY, 0)
    spans = _replay(model, edges, history, range(first, len(history.hour)), ()).spans
    origin = begin + first * timedelta(minutes=SLOT_MINUTES)
    return tuple(
        (origin + timedelta(minutes=a), origin + timedelta(minutes=b))
        for a, b in spans
        if late[first + a // SLOT_MINUTES : first + b // SLOT_MINUTES].any()
    )


def held_out(
    history: Slots, edges: Edges, alarm: np.ndarray | None = None, events: Sequence[tuple[int, int]] = ()
) -> Replay | None:
    """How a model that was fitted without the last day does on it; None while too little is known."""
    earlier = train.fit(_without_last_day(history), None if alarm is None else alarm[:-1])
    if earlier is None:
        return None
    last = range(len(history.hour) - SLOTS_A_DAY, len(history.hour))
    return _replay(earlier, edges, history, last, events)


def _replay(
    model: StreamModel, edges: Edges, history: Slots, scored: range, events: Sequence[tuple[int, int]]
) -> Replay:
    """Score the slots `scored`; a day before them is there for the windows to know."""
    lead = min(scored.start, KEPT)
    part = slice(scored.start - lead, scored.stop)
    inside = [(max(a - part.start, 0), b - part.start) for a, b in events if b >= scored.start and a < scored.stop]
    found = Slots(history.values[part], history.steps[part], history.hour[part])
    return train.replay(model, edges, found, inside, first=lead)


def _events(person: Learner, begin: datetime) -> list[tuple[int, int]]:
    """First and last slot of each of the person's known events."""
    return [(_slot(a) - _slot(begin), _slot(b) - _slot(begin)) for a, b in person.events]


def _without_last_day(history: Slots) -> Slots:
    kept = slice(0, len(history.hour) - SLOTS_A_DAY)
    return Slots(history.values[kept], history.steps[kept], history.hour[kept])


def measured_days(history: Slots) -> int:
    measured = np.isfinite(history.values).any(axis=1).reshape(-1, SLOTS_A_DAY).any(axis=1)
    return int(measured.sum())


def _days(spans: Collection[tuple[datetime, datetime]], begin: datetime, end: datetime) -> np.ndarray:
    """Which UTC days of [begin, end) one of these spans touches."""
    touched = np.zeros((end - begin) // DAY, bool)
    for a, b in spans:
        first, last = (a - begin) // DAY, (max(b, a) - begin) // DAY
        touched[max(first, 0) : max(last + 1, 0)] = True
    return touched


def _slot(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) // SLOT_US


def card_of(
    version: str, made_at: datetime, end: datetime, learned: Sequence[Learned], metrics: dict[str, float]
) -> Card:
    """The model card of a version made of these people."""
    return Card(
        version=version,
        made_at=_rfc3339(made_at),
        data_from=_rfc3339(end - LEARNED),
        data_to=_rfc3339(end),
        people=sum(one.model is not None for one in learned),
        metrics=metrics,
    )


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
