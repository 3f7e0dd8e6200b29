"""What is killed by `tests.faults.sealing`: it appends rows, or seals and tidies the days they belong to.

It says "begin" before each piece of work and "end" after it: whoever dies between the two was hit.
"""

import resource
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

import pyarrow as pa
from deltalake.exceptions import DeltaError

from ingestion.lake import LakeMoved, append, open_readings, position
from ingestion.lake.files import Changed
from ingestion.lake.seal import due, seal
from ingestion.lake.tidy import keep_house, tidy
from tests.analytics.readings import reading, table
from tests.faults.command import Say

AT_ONCE = 400
DAYS = 4
DEVICES = 5
FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
NOW = FIRST_DAY + timedelta(days=DAYS, hours=1)


def rows_of(begin: int, end: int) -> pa.Table:
    """The rows of these offsets: always the same. Each is later than the one before it of the same device and day."""
    return table(_row(offset) for offset in range(begin, end))


def _row(offset: int) -> dict[str, object]:
    turn, day = divmod(offset, DAYS)
    measured = FIRST_DAY + timedelta(days=day, milliseconds=500 * turn)
    return reading(0, device=f"device_{offset % DEVICES}") | {
        "measured_at": measured,
        "received_at": measured + timedelta(seconds=1),
        "record_id": "" if offset % 3 else f"r-{offset}",
        "heart_rate": float(50 + offset % 100),
        "source_offset": offset,
    }


def work(role: str, lake: str, rows: int, says: Connection, limit: int | None) -> None:
    """What a process of its own does; it can make no file larger than `limit` bytes."""
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write that is too large fails, as on a full store
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    until(role, lake, rows, says.send)


def until(role: str, lake: str, rows: int, say: Say = lambda word: None) -> None:
    """Append until so many rows are there, or seal for ever."""
    step = {"append": lambda: _append(lake, rows, say), "seal": lambda: _seal(lake, say)}[role]
    while True:
        try:
            if not step():
                return
        except (OSError, DeltaError, LakeMoved, Changed) as failure:  # the next task goes on
            say(f"failed {type(failure).__name__}")
            time.sleep(0.05)


def _append(lake: str, rows: int, say: Say) -> bool:
    opened = open_readings(lake)
    begin = position(opened, "t", 0) or 0
    if begin >= rows:
        return False
    end = min(begin + AT_ONCE, rows)
    _said(say, lambda: append(opened, rows_of(begin, end), topic_id="t", begin={0: begin}, end={0: end}))
    return True


def _seal(lake: str, say: Say) -> bool:
    for organisation, day in due(lake, now=NOW, wait=False):
        _said(say, lambda o=organisation, d=day: seal(lake, o, d, now=NOW))
    _said(say, lambda: tidy(lake, now=NOW))
    keep_house(lake, now=NOW, summaries_kept=timedelta(days=3660))
    return True


def _said(say: Say, piece: Callable[[], object]) -> None:
    say("begin")
    piece()
    say("end")
