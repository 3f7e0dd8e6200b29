"""The door as a process: `vitals.readings` in, `vitals.admitted` and `vitals.refused` out.

On Apache Kafka a micro-batch, both outputs and the input offsets are one transaction, so neither a crash nor a
rebalance loses, doubles or re-decides a packet. Any error in a transaction ends the process and a fresh one starts from
the committed offsets: going on after an abort would lose the batch.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from ingestion.deadline import deadline
from ingestion.door import FOREVER, Arrivals, Directory, by_partition, sort_out
from ingestion.ends import Ends
from ingestion.kafka import ADMITTED, READINGS, REFUSED, committed, consumer_config, is_end, to_messages, topic_id
from ingestion.origin import origin_of

log = logging.getLogger(__name__)

BATCH = 20_000  # packets at most in one transaction
BATCH_BYTES = 16 * 1024 * 1024  # after which no more is read: large packets must not outlast a transaction's time-out
READ_AT_ONCE = 2_000  # packets
DECIDED_AT_ONCE = 10_000  # packets, while the broker takes what was decided before
LINGER_S = 0.05  # how long a batch may wait to fill
QUEUE_KB = 128 * 1024  # what may wait to be sent to the broker
CALL_S = 30.0  # time-out of each call to the broker
TRANSACTION_S = 10.0  # after which the broker gives it up: a dead door holds readers of committed data up no longer
ANY_PARTITION = -1  # the client chooses
STALE_AFTER = timedelta(seconds=60)  # an older directory may admit what has been withdrawn

# Gives the snapshot to decide by, and when it was known to be true; called before each batch.
DirectorySource = Callable[[datetime], tuple[Directory, datetime]]
Progress = Callable[[dict[int, datetime]], None]  # by partition, the moment up to which everything has been read


class PartitionMoved(Exception):
    """What was read may be another door's by now: end without deciding it."""


class Doorway:
    """One door. As many as wanted run in one consumer group; `name` is this one's, stable over restarts."""

    def __init__(
        self,
        bootstrap: str,
        *,
        name: str,
        transactions: bool,
        admitted_partitions: int,
        known: DirectorySource,
        progress: Progress,
        group: str = "door",
    ) -> None:
        self._known, self._progress = known, progress
        self._partitions = admitted_partitions
        self._transactions = transactions
        self._topic_id = topic_id(bootstrap, READINGS)
        self._reached: dict[int, int] = {}
        self._consumer = Consumer(consumer_config(bootstrap, group))
        self._ends = Ends(self._consumer, READINGS)
        producer: dict[str, object] = {
            "bootstrap.servers": bootstrap,
            "linger.ms": 2,
            "queue.buffering.max.kbytes": QUEUE_KB,
        }
        if transactions:
            timeout_ms = round(TRANSACTION_S * 1000)
            producer |= {"transactional.id": f"{group}-{name}", "transaction.timeout.ms": timeout_ms}
        self._producer = Producer(producer)
        if transactions:
            with deadline(2 * CALL_S):
                self._producer.init_transactions(CALL_S)
        self._consumer.subscribe([READINGS], on_assign=self._assigned, on_revoke=self._revoked)

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop()`; raises on any error, and then the process should end."""
        try:
            while not stop():
                with _uncollected():
                    self.step()
        finally:
            self._consumer.close()

    def step(self) -> int:
        """One micro-batch; the number of packets decided. An idle one takes LINGER_S seconds."""
        now = datetime.now(UTC)
        known, true_at = self._known(now)
        if now - true_at > STALE_AFTER:
            self._wait_for_directory()
            return 0
        messages, at_end = self._read(BATCH, LINGER_S)
        if messages:
            self._decide(messages, known)
        self._reach(at_end)
        if passed := self._ends.passed(self._reached, now):
            self._progress(passed)
        return len(messages)

    def _wait_for_directory(self) -> None:
        log.warning("the directory is older than %s: the door waits", STALE_AFTER)
        assigned = self._consumer.assignment()
        self._consumer.pause(assigned)
        messages, at_end = self._read(1, 1.0)  # keeps the membership of the group
        self._consumer.resume(assigned)
        for message in messages:  # of a partition that came just now and was not paused: to be read again
            self._consumer.seek(TopicPartition(READINGS, message.partition(), message.offset()))
        self._reach(at_end)

    def _read(self, count: int, seconds: float) -> tuple[list[Message], dict[int, int]]:
        """What has arrived, and the offset behind the last packet of each partition whose end was reached."""
        messages: list[Message] = []
        at_end: dict[int, int] = {}
        size = 0
        until = time.monotonic() + seconds
        while True:
            wanted = min(READ_AT_ONCE, count - len(messages))
            portion = self._consumer.consume(wanted, max(until - time.monotonic(), 0.0))
            errors, packets = list(map(Message.error, portion)), portion
            if any(errors):
                at_end |= _ends(portion, errors)
                packets = [message for message, error in zip(portion, errors, strict=True) if error is None]
            messages += packets
            size += sum(map(len, packets))
            if len(portion) < wanted or len(messages) >= count or size >= BATCH_BYTES:
                return messages, at_end

    def _decide(self, messages: list[Message], known: Directory) -> None:
        portions = [
            _arrivals(self._topic_id, messages[i : i + DECIDED_AT_ONCE])
            for i in range(0, len(messages), DECIDED_AT_ONCE)
        ]
        ends = self._follow(portions)
        positions = [TopicPartition(READINGS, p, end) for p, end in ends.items()]
        if self._transactions:
            # Measured: a broker that stops and comes back can leave the client waiting, far past a call's time-out.
            with deadline(3 * TRANSACTION_S):
                self._producer.begin_transaction()
                self._put(portions, known)
                group = self._consumer.consumer_group_metadata()
                self._producer.send_offsets_to_transaction(positions, group, TRANSACTION_S)
                self._producer.commit_transaction(TRANSACTION_S)
        else:
            self._put(portions, known)
            if self._producer.flush(CALL_S):
                raise TimeoutError("the broker did not take a batch in time")
            self._consumer.commit(offsets=positions, asynchronous=False)
        self._reach(ends)

    def _put(self, portions: list[Arrivals], known: Directory) -> None:
        """Hand what becomes of these packets to the producer."""
        for arrivals in portions:
            outcome = sort_out(arrivals, known)
            for partition, readings in by_partition(outcome.admitted, self._partitions):
                for value in to_messages(readings):
                    self._produce(ADMITTED, value, partition)
            for entry in outcome.refused:
                self._produce(REFUSED, entry)

    def _follow(self, portions: list[Arrivals]) -> dict[int, int]:
        """The offset behind the last packet of each partition. Raises PartitionMoved if they do not follow on."""
        partitions = np.concatenate([arrivals.partitions for arrivals in portions])
        offsets = np.concatenate([arrivals.offsets for arrivals in portions])
        ends = {}
        for partition in np.unique(partitions).tolist():
            of_partition = offsets[partitions == partition]
            if of_partition[0] < self._reached.get(partition, FOREVER) or (np.diff(of_partition) <= 0).any():
                raise PartitionMoved(f"partition {partition} was given away while it was being read")
            ends[partition] = int(of_partition[-1]) + 1
        return ends

    def _reach(self, ends: dict[int, int]) -> None:
        self._reached |= {p: end for p, end in ends.items() if p in self._reached}

    def _produce(self, topic: str, value: bytes, partition: int = ANY_PARTITION) -> None:
        while True:
            try:
                self._producer.produce(topic, value, partition=partition, on_delivery=_must_arrive)
                return
            except BufferError:  # a batch of large refused packets is more than fits: let some go out first
                self._producer.poll(0.1)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Go on where the group has committed, or at the oldest packet if retention has taken what lay there."""
        positions = committed(consumer, partitions)
        for place in partitions:
            position = positions[place.partition]
            oldest, _ = consumer.get_watermark_offsets(place, timeout=CALL_S)
            if 0 <= position < oldest:
                log.critical(
                    "partition %d: packets %d to %d were removed before the door decided them",
                    place.partition,
                    position,
                    oldest,
                )
            place.offset = self._reached[place.partition] = max(position, oldest)
        consumer.assign(partitions)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._reached.pop(partition.partition, None)


def _ends(messages: list[Message], errors: list[KafkaError | None]) -> dict[int, int]:
    """The ends that were reached, by partition. Raises what else is wrong."""
    ends = {}
    for message, error in zip(messages, errors, strict=True):
        if error is not None:
            if not is_end(error):
                raise KafkaException(error)
            ends[message.partition()] = message.offset()
    return ends


def _must_arrive(error: object, message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from looking for cycles among the many short-lived objects of a batch: there are none.

    It would take a third of the door's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _arrivals(topic: str, messages: list[Message]) -> Arrivals:
    count = len(messages)
    kinds, stamps = zip(*map(Message.timestamp, messages), strict=True)
    received = np.array(stamps, np.int64)
    if kinds.count(TIMESTAMP_LOG_APPEND_TIME) != count:
        received[np.array(kinds) != TIMESTAMP_LOG_APPEND_TIME] = time.time_ns() // 1_000_000
    headers = list(map(Message.headers, messages))
    return Arrivals(
        topic_id=topic,
        values=list(map(Message.value, messages)),
        keys=_Keys(messages),
        accounts=[None if h is None else _account(h) for h in headers],
        partitions=np.fromiter(map(Message.partition, messages), np.int64, count),
        offsets=np.fromiter(map(Message.offset, messages), np.int64, count),
        received_at=received * 1000,
        origins={i: origin for i, h in enumerate(headers) if h and (origin := origin_of(h)) is not None},
    )


class _Keys(Sequence[bytes | None]):
    """The keys of messages, each asked for when it is needed: only that of a refused packet is."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, place: Any) -> Any:
        return self._messages[place].key()


def _account(headers: list[tuple[str, bytes]]) -> str | None:
    """The account that signed in to sync this packet; only the REST API and imports of ours can set the header."""
    for name, value in headers:
        if name == "account" and value:
            return value.decode("ascii", "replace")
    return None
