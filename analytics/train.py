"""Training, the pure part: fit one person, replay recent days, and judge whether a new version may take over.

A new version first runs in shadow: it is scored and recorded and pages nobody. It is promoted only if it is not worse
than the one in force on the same days: not more false alerts than its budget or the old version allow, and no event
found by the old one and answered as useful that it misses.
"""

from dataclasses import dataclass

import numpy as np

from analytics import slots, windows
from analytics.calibration import episodes
from analytics.slots import SLOTS_A_DAY, Slots
from analytics.windows import MERGE, WEEK, Edges, StreamModel

LEAST_DAYS = 3  # alerts from the third day on, with the wider scales that few days have
LEARNED_DAYS = 7  # "learning, night 4 of 7" until then
WINDOW_DAYS = 28
EXCLUDED_AROUND = 1  # days on each side of an alarm that are not learned from
MOST_EXCLUDED = 14  # after so many excluded days in a row a change is taken for the new usual


@dataclass(frozen=True, slots=True)
class Replay:
    """How a version did on recent days: alert episodes, monitored weeks, and which labelled events it found."""

    alerts: int
    weeks: float
    found: frozenset[int]

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
    made = windows.fit(Slots(values, steps, hour))
    return StreamModel(made.usual, made.middle, made.scale, int(measured.sum()))


def replay(model: StreamModel, edges: Edges, recent: Slots, events: list[tuple[int, int]]) -> Replay:
    """Score recent slots again; `events` are labelled (first, last) slots. Alerts in no event count as false."""
    single, together = windows.unusual(model.middle, model.scale, windows.over(slots.deviations(model.usual, recent)))
    alert = windows.score(edges, single, together) >= 1
    found = frozenset(i for i, (first, last) in enumerate(events) if alert[first : last + 1].any())
    outside = alert.copy()
    for first, last in events:
        outside[first : last + 1] = False
    monitored = np.isfinite(recent.values).any(axis=1).sum()
    return Replay(episodes(outside, MERGE), float(monitored / WEEK), found)


def verdict(new: Replay, old: Replay | None, budget: float) -> Verdict:
    """Whether the new version may page people instead of the old one, and why, in words for an operator."""
    allowed = max(budget, old.rate if old else 0.0)
    if new.rate > allowed:
        return Verdict(False, f"{new.rate:.2f} false alerts a week, {allowed:.2f} are allowed")
    if old and not old.found <= new.found:
        return Verdict(False, f"misses {len(old.found - new.found)} events that the version in force finds")
    return Verdict(True, f"{new.rate:.2f} false alerts a week, {len(new.found)} known events found")
