"""What proves that a kill has hit: aborted records in `vitals.admitted`, or a Parquet file that no commit names."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from ingestion.kafka import ADMITTED, consumer_config
from tests.faults.balance import files_named
from tests.faults.surroundings import wait_for
from tests.faults.traffic import Place


class Admitted:
    """`vitals.admitted` read both ways: all that was written, and what of it was committed."""

    def __init__(self, bootstrap: str) -> None:
        self._written = _Reader(bootstrap, "read_uncommitted")
        self._committed = _Reader(bootstrap, "read_committed")

    def wait_for_next(self, begin: Callable[[], None] = lambda: None, seconds: float = 60) -> None:
        """Return as soon as another record is written: the transaction it belongs to is open, or was just now.

        `begin` is called when all that was written before has been read.
        """
        self._written.read_on()
        begin()
        until = time.monotonic() + seconds
        while not self._written.read(1, 0.5):
            if time.monotonic() > until:
                raise TimeoutError("nothing is admitted")

    def wait_for_commit(self) -> None:
        """Return once another record is committed."""
        self._committed.read_on()
        committed = len(self._committed.seen)

        def more() -> bool:
            self._committed.read_on()
            return len(self._committed.seen) > committed

        wait_for("something is committed", more)

    def aborted(self) -> set[Place]:
        """The records that were written and will never be committed. Waits until open transactions have ended."""
        self._written.read_on()
        ends = dict(self._written.next)

        def passed() -> bool:
            self._committed.read_on()
            return all(self._committed.next[p] >= end for p, end in ends.items())

        wait_for("the open transactions end", passed)
        return {(p, offset) for p, offset in self._written.seen - self._committed.seen if offset < ends[p]}

    def hangs(self, seconds: float = 2) -> bool:
        """Whether a transaction that is open now is still open so long afterwards."""
        self._written.read_on()
        ends = dict(self._written.next)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._committed.read_on()
            if all(self._committed.next[p] >= end for p, end in ends.items()):
                return False
        return True

    def close(self) -> None:
        self._written.consumer.close()
        self._committed.consumer.close()


class _Reader:
    """Everything in the topic from its beginning; `next` is where reading goes on, by partition."""

    def __init__(self, bootstrap: str, isolation: str) -> None:
        self.consumer = Consumer(consumer_config(bootstrap, "evidence") | {"isolation.level": isolation})
        partitions = self.consumer.list_topics(ADMITTED, timeout=30).topics[ADMITTED].partitions
        self.consumer.assign([TopicPartition(ADMITTED, p, 0) for p in partitions])
        self.seen: set[Place] = set()
        self.next = dict.fromkeys(partitions, 0)

    def read(self, count: int, seconds: float) -> int:
        """Read on; the number of records, which may be 0."""
        records = 0
        for message in self.consumer.consume(count, seconds):
            partition, offset = message.partition(), message.offset()
            if message.error() is None:
                self.seen.add((partition, offset))
                records += 1
                offset += 1
            self.next[partition] = offset
        return records

    def read_on(self) -> None:
        """Read all that is there now."""
        while self.read(1000, 0.05):
            pass


class Parquet:
    """The files of the lake's table: those that lie there, and those that a commit names."""

    def __init__(self, table: Path) -> None:
        self._table = table

    def lying(self) -> set[str]:
        return {str(path.relative_to(self._table)) for path in self._table.glob("*/*/*.parquet")}

    def unnamed(self) -> set[str]:
        lying = self.lying()
        return lying - files_named(self._table)

    def wait_for_next(self, then: Callable[[], None], seconds: float = 60) -> set[str]:
        """Call `then` at the moment at which a file appears; the new files.

        It looks at the folders' times of change: listing them would take longer than a task needs to commit.
        """
        known, folders = self.lying(), self._folders()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._folders() != folders:
                if any(name.endswith(".parquet") for name in self._new(known)):
                    then()
                    return self.lying() - known
                folders = self._folders()
            time.sleep(0.0005)
        raise TimeoutError("nothing is archived")

    def _folders(self) -> dict[str, int]:
        found = {}
        with os.scandir(self._table) as organisations:
            for organisation in organisations:
                if organisation.name.startswith("organisation="):
                    with os.scandir(organisation.path) as days:
                        found |= {day.path: day.stat().st_mtime_ns for day in days}
        return found

    def _new(self, known: set[str]) -> set[str]:
        return self.lying() - known
