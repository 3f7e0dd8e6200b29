"""What happens to doors and archive tasks while packets come in, and what has become of each packet afterwards."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.conf import settings

from ingestion.lake import readings_url
from tests.faults.balance import Balance, balance, entries_of_refused, rows_of_lake
from tests.faults.command import Say
from tests.faults.evidence import Admitted, Parquet
from tests.faults.pipeline import OVERTAKEN, Part, Pipeline
from tests.faults.surroundings import wait_for
from tests.faults.traffic import Traffic, ward

PARTITIONS = settings.READINGS_PARTITIONS
TRIES = 12  # kills at most for each that must hit


@dataclass(frozen=True, slots=True)
class Kills:
    """How many were tried, and how many have hit."""

    tried: int
    hit: int


@dataclass(frozen=True, slots=True)
class Report:
    door: Kills
    archiver: Kills
    door_errors: int
    packets_per_s: float
    guarded: Balance
    unguarded: Balance

    def is_well(self, kills: int) -> bool:
        """Enough has hit, every packet is there once, and the checker fails where it must."""
        enough = self.door.hit >= kills and self.archiver.hit >= kills
        return enough and not self.door_errors and self.guarded.is_even and bool(self.unguarded.doubled)

    def figures(self) -> dict[str, object]:
        return {
            "door_kills": self.door.tried,
            "door_kills_that_hit": self.door.hit,
            "archiver_kills": self.archiver.tried,
            "archiver_kills_that_hit": self.archiver.hit,
            "door_errors": self.door_errors,
            "packets_per_s": round(self.packets_per_s),
            **self.guarded.figures(),
            "unguarded": self.unguarded.figures(),
        }


def run(folder: Path, *, kills: int, packets: int, rate: float, say: Say = lambda what: None) -> Report:
    """The whole story on empty topics: see `tests.faults.exactly_once`. The people must be there (`people_make`)."""
    with Pipeline(folder) as pipeline:
        say("a door and a worker run")
        traffic = Traffic(pipeline.bootstrap, ward(), rate).start()
        with ThreadPoolExecutor() as pool:
            doors = pool.submit(_doors, pipeline, kills, say)
            archivers = pool.submit(_archivers, pipeline, kills, say)
            door, archiver = doors.result(), archivers.result()
        worker = archiver_freezes(pipeline)  # last: a task that is frozen for long is ended by Celery's time limit
        say("an archive task that was overtaken while it was frozen was refused")
        wait_for("a task freezes that will have no position check", lambda: _frozen(pipeline, worker))
        wait_for("enough packets are sent", lambda: len(traffic.sent) >= packets, seconds=packets / rate + 60)
        traffic.stop()
        guarded = balance_of(pipeline, traffic)
        say(f"with the position check: {guarded.figures()}")
        _wake(pipeline, worker, "readings archived")
        unguarded = balance_of(pipeline, traffic)
        say(f"without it: {unguarded.figures()}")
        errors = pipeline.door_errors()
    return Report(door, archiver, errors, len(traffic.sent) / traffic.seconds, guarded, unguarded)


def balance_of(pipeline: Pipeline, traffic: Traffic, seconds: float = 120) -> Balance:
    """What has become of all that was sent, once it is decided and archived; each within so many seconds."""
    wait_for("every packet is decided", pipeline.decided, seconds)
    wait_for("everything admitted is archived", pipeline.archived, seconds)
    lake = Path(readings_url(str(pipeline.lake)))
    return balance(traffic.sent, pipeline.readings_id, rows_of_lake(lake), entries_of_refused(pipeline.bootstrap))


# --- doors ---


def _doors(pipeline: Pipeline, kills: int, say: Say) -> Kills:
    admitted = Admitted(pipeline.bootstrap)
    tried = hit = 0
    while hit < kills and tried < kills * TRIES:
        if "2" not in pipeline.doors and hit >= kills / 2:
            _second_door_joins(pipeline)
            say("a second door has joined")
        doors_are_at_work(pipeline)  # a door that has just come, and has no partitions yet, cannot be hit
        tried += 1
        aborted = _kill_door(pipeline, admitted)
        hit += bool(aborted)
        say(f"door killed: {aborted} aborted records")
    admitted.close()
    _second_door_joins(pipeline)
    if (code := pipeline.dismiss_door("2")) != 0:
        raise RuntimeError(f"the second door left with {code}: {pipeline.said('door-2')[-2000:]}")
    wait_for("the first door has all partitions again", lambda: pipeline.door_members() == [PARTITIONS])
    say("the second door has left")
    return Kills(tried, hit)


def _kill_door(pipeline: Pipeline, admitted: Admitted) -> int:
    """Kill the first door as soon as something is written; how many records are aborted because of it."""
    admitted.wait_for_commit()  # a door that never came so far would starve the lake, and with it this run
    doors, before = dict(pipeline.doors), admitted.aborted()
    admitted.wait_for_next()
    doors["1"].process.kill()
    aborted = admitted.aborted() - before
    wait_for("the door is started again", lambda: pipeline.doors["1"] is not doors["1"])
    others = [part for name, part in pipeline.doors.items() if part is not doors[name]]
    # A door that ended by itself leaves aborted records too: then nothing is known of this kill.
    return len(aborted) if len(others) == 1 and doors["1"].process.poll() == -signal.SIGKILL else 0


def _second_door_joins(pipeline: Pipeline) -> None:
    if "2" not in pipeline.doors:
        pipeline.start_door("2")
    doors_are_at_work(pipeline)


def doors_are_at_work(pipeline: Pipeline) -> None:
    """Wait until the running doors have the partitions, each its fair share."""
    count = len(pipeline.doors)
    shares = sorted(PARTITIONS // count + (n < PARTITIONS % count) for n in range(count))
    wait_for(f"{count} doors share the partitions", lambda: pipeline.door_members() == shares)


# --- archive tasks ---


def _archivers(pipeline: Pipeline, kills: int, say: Say) -> Kills:
    table = Path(readings_url(str(pipeline.lake)))
    wait_for("the first rows are archived", lambda: list(table.glob("*/*/*.parquet")))
    parquet = Parquet(table)
    tried = hit = 0
    while hit < kills and tried < kills * TRIES:
        tried += 1
        unnamed = _kill_archiver(pipeline, parquet)
        hit += bool(unnamed)
        say(f"archive task killed: {len(unnamed)} files that no commit names")
    return Kills(tried, hit)


def archiver_freezes(pipeline: Pipeline, seconds: float = 0) -> Part:
    """A task that has read and not appended freezes until another takes over, and at least so long; it is refused.

    Its worker, whose next task will freeze too, and have no position check.
    """
    table = Path(readings_url(str(pipeline.lake)))
    worker = pipeline.start_worker("tests.faults.frozen_worker")
    wait_for("a task freezes", lambda: _frozen(pipeline, worker))
    woken_at, commits = time.monotonic() + seconds, commits_of(table)
    wait_for("another task takes over", lambda: commits_of(table) > commits)
    time.sleep(max(0.0, woken_at - time.monotonic()))
    _wake(pipeline, worker, OVERTAKEN)
    return worker


def _kill_archiver(pipeline: Pipeline, parquet: Parquet) -> set[str]:
    """Kill the archive task as soon as it has written a file; which files it never committed."""
    wait_for("a task process", lambda: pipeline.task_process(pipeline.worker))
    task = pipeline.task_process(pipeline.worker)
    assert task is not None
    written = parquet.wait_for_next(task.kill)
    wait_for("another task process", lambda: pipeline.task_process(pipeline.worker) not in (None, task))
    return written & parquet.unnamed()


def _frozen(pipeline: Pipeline, worker: Part) -> bool:
    task = pipeline.task_process(worker)
    return task is not None and task.status() == psutil.STATUS_STOPPED


def _wake(pipeline: Pipeline, worker: Part, its_last_words: str) -> None:
    task = pipeline.task_process(worker)
    assert task is not None
    task.resume()
    wait_for("the woken task ends", lambda: its_last_words in worker.said())


def commits_of(table: Path) -> int:
    return sum(1 for _ in table.glob("_delta_log/*.json"))
