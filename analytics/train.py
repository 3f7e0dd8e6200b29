"""Training, the pure part: fit one person, replay recent days, and judge whether a new version may take over.

A new version first runs in shadow: it is scored and recorded and pages nobody. It is promoted only if it is not worse
than the one in force on the same days: not more false alerts than its budget or the old version allow, and no event
found by the old one and answered as useful that it misses.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from analytics import slots, windows
from analytics.calibration import stretches, too_often
from analytics.slots import SLOT_MINUTES, SLOTS_A_DAY, Slots
from analytics.windows import MERGE, START_EDGES, WEEK, Edges, StreamModel

LEAST_DAYS = 3  # alerts from the third day on, with the wider spreads that few days have
LEARNED_DAYS = 7  # "learning, night 4 of 7" until then
WINDOW_DAYS = 28
EXCLUDED_AROUND = 1  # days on each side of an alarm that are not learned from
ENOUGH_WEEKS = 200  # thresholds set on fewer user-weeks did not hold for other people (docs/detection.md)
SLACK = 0.2  # of the budget
STEP = 0.05
LEAST_EDGE = 0.6  # of where it started
MOST_EXCLUDED = 14  # after so many excluded days in a row a change is taken for the new usual


@dataclass(frozen=True, slots=True)
class Replay:
    """How a version did on recent days: false alert episodes, monitored weeks, and which labelled events it found.

    `spans` are all its alert episodes of one person, [begin, end] in minutes from the first scored slot.
    """

    alerts: int
    weeks: float
    found: frozenset[Hashable]
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def rate(self) -> float:
        return self.alerts / self.weeks if self.weeks else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    promoted: bool
    reason: str


def learning(days: int) -> str | None:
    """What a page says while too little is known, or None."""
    return f"learning, night {max(days, 1)} of {LEARNED_DAYS}" if days < LEARNED_DAYS else None


def learned_days(alarm: np.ndarray) -> np.ndarray:
    """Which days (n,) bool to learn from: not alarm days and their neighbours, but at most 14 in a row are left out.

    A change that has lasted longer is no illness any more but the new usual, and the page says that it moved.
    """
    left_out = alarm.copy()
    for by in range(1, EXCLUDED_AROUND + 1):
        left_out[by:] |= alarm[:-by]
        left_out[:-by] |= alarm[by:]
    run = 0
    for day, out in enumerate(left_out):
        run = run + 1 if out else 0
        if run > MOST_EXCLUDED:
            left_out[day] = False
    return ~left_out


def fit(history: Slots, alarm_days: np.ndarray | None = None) -> StreamModel | None:
    """One person's model from whole days of slots, oldest first; None while there are fewer than LEAST_DAYS.

    Slots of days that are not learned from are blanked, so that hours keep their place.
    """
    days = len(history.hour) // SLOTS_A_DAY
    recent = slice((days - min(days, WINDOW_DAYS)) * SLOTS_A_DAY, days * SLOTS_A_DAY)
    values, steps, hour = history.values[recent].copy(), history.steps[recent], history.hour[recent]
    learn = np.ones(len(hour) // SLOTS_A_DAY, bool)
    if alarm_days is not None:
        learn = learned_days(alarm_days[days - len(learn) : days])
    values[~np.repeat(learn, SLOTS_A_DAY)] = np.nan
    measured = np.isfinite(values).any(axis=1).reshape(-1, SLOTS_A_DAY).any(axis=1)
    if measured.sum() < LEAST_DAYS:
        return None
    return StreamModel(slots.fit(Slots(values, steps, hour)), int(measured.sum()))


def replay(model: StreamModel, edges: Edges, recent: Slots, events: list[tuple[int, int]], first: int = 0) -> Replay:
    """Score recent slots again; `events` are labelled (first, last) slots. Slots before `first` only fill the windows.

    An alert episode that touches no event counts as false. One that began in an event and lasts beyond it is the
    event's: the means of hours still hold it.
    """
    alert = windows.score(edges, windows.over(slots.deviations(model.usual, recent))) >= 1
    alert[:first] = False
    found = frozenset(i for i, (begin, end) in enumerate(events) if alert[begin : end + 1].any())
    inside = np.zeros(len(alert), bool)
    for begin, end in events:
        inside[begin : end + 1] = True
    raised = stretches(alert, MERGE)
    false = sum(not inside[begin : end + 1].any() for begin, end in raised)
    monitored = np.isfinite(recent.values[first:]).any(axis=1).sum()
    spans = tuple(((begin - first) * SLOT_MINUTES, (end + 1 - first) * SLOT_MINUTES) for begin, end in raised)
    return Replay(false, float(monitored / WEEK), found, spans)


def together(replays: Mapping[str, Replay]) -> Replay:
    """The replays of many people, by subject, as one."""
    return Replay(
        sum(r.alerts for r in replays.values()),
        sum(r.weeks for r in replays.values()),
        frozenset((subject, event) for subject, r in replays.items() for event in r.found),
    )


def verdict(new: Replay, old: Replay | None, budget: float) -> Verdict:
    """Whether the new version may page people instead of the old one, and why, in words for an operator.

    The new version is worse if it alerts too often for chance (`calibration.too_often`), or misses a known event.
    """
    allowed = max(budget, old.rate if old else 0.0)
    if too_often(new.alerts, new.weeks, allowed):
        return Verdict(False, f"{new.rate:.2f} false alerts a week, {allowed:.2f} are allowed")
    if old and not old.found <= new.found:
        return Verdict(False, f"misses {len(old.found - new.found)} events that the version in force finds")
    return Verdict(True, f"{new.rate:.2f} false alerts a week, {len(new.found)} known events found")


def readjusted(edges: Edges, replay: Replay, budget: float) -> Edges:
    """The edges for the next version: a little higher or lower where the realised rate of the one in force is off the
    budget. Nothing is said of less than `ENOUGH_WEEKS` user-weeks."""
    if replay.weeks < ENOUGH_WEEKS or budget * (1 - SLACK) <= replay.rate <= budget * (1 + SLACK):
        return edges
    by = 1 + STEP if replay.rate > budget else 1 - STEP / 2
    least = (LEAST_EDGE * START_EDGES.single, LEAST_EDGE * START_EDGES.together)
    return Edges(np.maximum(edges.single * by, least[0]), np.maximum(edges.together * by, least[1]))
