"""What disturbs doors, archive tasks and the broker while packets come in, and what came of it."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ingestion.lake import readings_url
from tests.faults.balance import Balance, disorder
from tests.faults.command import Say
from tests.faults.evidence import Admitted
from tests.faults.kills import PARTITIONS, archiver_freezes, balance_of, commits_of, doors_are_at_work
from tests.faults.pipeline import Pipeline
from tests.faults.surroundings import wait_for
from tests.faults.traffic import Traffic, ward
from tests.servers.forked import Forked
from tests.servers.kafka import Broker

TRIES = 60  # to freeze a door with its transaction open
BACKLOG_S = 2.0  # less than a door may be silent before it loses its partitions


@dataclass(frozen=True, slots=True)
class Report:
    """`frozen_in_transaction`: whether the door that froze was: then its waking might double something."""

    joins: int
    frozen_in_transaction: bool
    broker_stops: int
    door_errors: int
    disorder: int
    balance: Balance

    @property
    def is_well(self) -> bool:
        return self.balance.is_even and self.frozen_in_transaction and not (self.disorder or self.door_errors)

    def figures(self) -> dict[str, int]:
        names = ("joins", "frozen_in_transaction", "broker_stops", "door_errors", "disorder")
        counted = {name: getattr(self, name) for name in names}
        return counted | self.balance.figures()


def run(
    folder: Path,
    broker: Broker,
    *,
    joins: int,
    freeze_s: float,
    broker_stops: int,
    stop_s: float,
    rate: float,
    say: Say = lambda what: None,
) -> Report:
    """The whole story on empty topics: see `tests.faults.unrest`. The people must be there (`people_make`)."""
    with Pipeline(folder) as pipeline:
        say("a door and a worker run")
        traffic = Traffic(pipeline.bootstrap, ward(), rate).start()
        for turn in range(joins):
            _two_join_and_leave(pipeline, first="23"[turn % 2])
            say(f"two doors have joined and left: {turn + 1}")
        _killed_while_shared_out(pipeline)
        say("a door was killed while the partitions were shared out anew")
        in_transaction = _door_freezes(pipeline, freeze_s)
        say(f"a door was frozen for {freeze_s:.0f} s and woken")
        archiver_freezes(pipeline, freeze_s).process.kill()
        say(f"an archive task was frozen for {freeze_s:.0f} s between reading and appending, woken, and refused")
        for turn in range(broker_stops):
            broker.stop()
            time.sleep(stop_s)
            broker.start()
            _wait_until_at_work(pipeline)
            say(f"the broker was away for {stop_s:.0f} s: {turn + 1}")
        traffic.stop()
        counted = balance_of(pipeline, traffic, seconds=300)
        return Report(
            joins=joins,
            frozen_in_transaction=in_transaction,
            broker_stops=broker_stops,
            door_errors=pipeline.door_errors(),
            disorder=disorder(pipeline.bootstrap),
            balance=counted,
        )


def _wait_until_at_work(pipeline: Pipeline) -> None:
    """Until the lake grows by what a door admits now.

    The broker's word is no proof: a group that it has just read from its disk still has the members of before. And two
    commits need no door: one of what had been admitted, and one of the end of a transaction that was given up.
    """
    table = Path(readings_url(str(pipeline.lake)))
    commits = commits_of(table)
    wait_for("the lake grows again", lambda: commits_of(table) > commits + 2, seconds=180)


def _two_join_and_leave(pipeline: Pipeline, first: str) -> None:
    for name in "23":
        pipeline.start_door(name)
    doors_are_at_work(pipeline)
    for name in sorted("23", key=lambda name: name != first):
        if (code := pipeline.dismiss_door(name)) != 0:
            raise RuntimeError(f"door {name} left with {code}: {pipeline.said(f'door-{name}')[-2000:]}")
        doors_are_at_work(pipeline)


def _killed_while_shared_out(pipeline: Pipeline) -> None:
    """One door joins, and another is killed while the partitions are shared out anew."""
    before = pipeline.door_members()
    pipeline.start_door("2")
    wait_for("the partitions are shared out anew", lambda: pipeline.door_members() != before)
    pipeline.doors["1"].process.kill()
    doors_are_at_work(pipeline)
    pipeline.dismiss_door("2")
    doors_are_at_work(pipeline)


def _door_freezes(pipeline: Pipeline, seconds: float) -> bool:
    """Whether it froze with its transaction open. Another door takes its partitions over before it is woken."""
    pipeline.start_door("2")
    doors_are_at_work(pipeline)
    frozen, other = pipeline.doors["1"].process, pipeline.doors["2"].process
    in_transaction = _freeze_in_transaction(frozen, other, pipeline.bootstrap)
    woken_at = time.monotonic() + seconds
    wait_for("the other door has all partitions", lambda: pipeline.door_members() == [PARTITIONS])
    time.sleep(max(0.0, woken_at - time.monotonic()))
    frozen.send_signal(signal.SIGCONT)
    doors_are_at_work(pipeline)
    pipeline.dismiss_door("2")
    doors_are_at_work(pipeline)
    return in_transaction


def _freeze_in_transaction(door: Forked, other: Forked, bootstrap: str) -> bool:
    """Freeze the door in any case; whether a transaction was seen to stay open."""
    admitted = Admitted(bootstrap)
    try:
        for _ in range(TRIES):
            for each in (door, other):  # what waits meanwhile makes a long transaction
                each.send_signal(signal.SIGSTOP)
            time.sleep(BACKLOG_S)
            admitted.wait_for_next(lambda: door.send_signal(signal.SIGCONT))
            door.send_signal(signal.SIGSTOP)
            other.send_signal(signal.SIGCONT)
            if admitted.hangs():
                return True
            door.send_signal(signal.SIGCONT)
        door.send_signal(signal.SIGSTOP)
        return False
    finally:
        admitted.close()
