"""The state of the path: a task keeps it in Redis, so that no page and no scraper waits for the broker."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings

from ingestion.path import look
from portal.operations.refusals import Tally, tallies
from portal.pipeline.latest import connection, progress_read

KEY = "path:state"
STALE_AFTER = timedelta(seconds=60)
LATE_AFTER_S = {"door": 10.0, "watcher": 10.0, "archiver": 60.0, "sealing": 7 * 3600.0}
DOES = {
    "door": "decides packets",
    "watcher": "scores readings and raises alerts",
    "archiver": "writes readings to the lake",
    "sealing": "sorts and sums up days that have ended",
}


@dataclass(frozen=True, slots=True)
class HopState:
    """One hop as a page shows it: what it is done with, what still waits, and the age in seconds of the oldest of that.

    `unit` is what is counted.
    """

    name: str
    does: str
    passed: int
    behind: int
    lag_s: float

    @property
    def unit(self) -> str:
        return "readings" if self.name == "sealing" else "offsets"

    @property
    def waits(self) -> timedelta | None:
        """How long the oldest has waited; None if nothing does."""
        return timedelta(seconds=self.lag_s) if self.behind else None

    @property
    def late(self) -> bool:
        return self.lag_s > LATE_AFTER_S[self.name]


@dataclass(frozen=True, slots=True)
class Status:
    """The path at `at` (UTC). `progress` is up to when door and watcher are known to have read everything."""

    at: datetime
    received: int
    admitted: int
    rows: int
    hops: list[HopState]
    refused: list[Tally]
    progress: datetime | None

    @property
    def sealed(self) -> int:
        return next((hop.passed for hop in self.hops if hop.name == "sealing"), 0)

    def stale(self, now: datetime) -> bool:
        return now - self.at > STALE_AFTER


def status_look(now: datetime) -> None:
    """Look at broker and lake and keep what they say. An older look never replaces a newer one for long: the next
    comes in seconds.
    """
    path = look(settings.KAFKA_BOOTSTRAP_SERVERS, settings.LAKE_URL, now)
    state = {
        "at": now.timestamp(),
        "received": path.received,
        "admitted": path.admitted,
        "rows": path.rows,
        "hops": {
            name: {"passed": hop.passed, "behind": hop.behind, "lag_s": hop.lag_s(now)}
            for name, hop in path.hops.items()
        },
    }
    connection().set(KEY, json.dumps(state))


def status_read(now: datetime) -> Status | None:
    """What the last look found, or None if there was none yet. Raises redis.RedisError if Redis does not answer."""
    text = connection().get(KEY)
    if text is None:
        return None
    state = json.loads(text)
    return Status(
        at=datetime.fromtimestamp(state["at"], UTC),
        received=state["received"],
        admitted=state["admitted"],
        rows=state["rows"],
        hops=[HopState(name, DOES[name], **hop) for name, hop in state["hops"].items()],
        refused=tallies(now),
        progress=progress_read(),
    )
