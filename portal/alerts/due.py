"""What happens next to an alert, and when, if nobody does anything. Pure: the database keeps state, since and steps.

Open: it is passed on along the chain, step by step, until somebody acknowledges; the last step is repeated.
Acknowledged, and the episode goes on: whoever acknowledged is reminded, and without a word it is open again.
Acknowledged, and back in range: it closes by itself a day later. Snoozed: it wakes when the snooze is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from portal.alerts.models import Alert, Level

REPEAT_AFTER = timedelta(minutes=30)  # the chain's last step, while nobody answers
REPEATED_FROM = Level.MEDIUM  # milder ones are passed on once
REMIND_AFTER = {Level.HIGH: timedelta(minutes=15)}
REMIND_OTHERS_AFTER = timedelta(minutes=30)
ANSWER_WITHIN = timedelta(minutes=15)  # of a reminder; then the alert is open again
CLOSE_AFTER = timedelta(days=1)  # back in range and acknowledged for so long


class Happens(StrEnum):
    ESCALATE = "escalate"
    REMIND = "remind"
    REOPEN = "reopen"
    CLOSE = "close"
    WAKE = "wake"


@dataclass(frozen=True, slots=True)
class Next:
    at: datetime
    what: Happens


def next_of(
    *,
    state: str,
    level: int,
    since: datetime,
    steps: int,
    ended_at: datetime | None,
    chain: Sequence[timedelta],
    snoozed_until: datetime | None,
) -> Next | None:
    """The next step of an alert, None if there is none.

    `chain` has the delays after `since` at which an open alert of this level is passed on, in order; `steps` of them,
    or of the reminders of an acknowledged one, have been taken. Times are aware.
    """
    if state == Alert.State.SNOOZED and snoozed_until is not None:
        return Next(snoozed_until, Happens.WAKE)
    if state == Alert.State.OPEN and chain:
        if steps < len(chain):
            return Next(since + chain[steps], Happens.ESCALATE)
        if level >= REPEATED_FROM:
            return Next(since + chain[-1] + REPEAT_AFTER * (steps - len(chain) + 1), Happens.ESCALATE)
    if state == Alert.State.ACKNOWLEDGED:
        if ended_at is not None:
            return Next(max(since, ended_at) + CLOSE_AFTER, Happens.CLOSE)
        remind_after = REMIND_AFTER.get(Level(level), REMIND_OTHERS_AFTER)
        if steps == 0:
            return Next(since + remind_after, Happens.REMIND)
        return Next(since + remind_after + ANSWER_WITHIN, Happens.REOPEN)
    return None
