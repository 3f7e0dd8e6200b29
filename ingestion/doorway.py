"""The door as a process: `vitals.readings` in, `vitals.admitted` and `vitals.refused` out.

On Apache Kafka a micro-batch, both outputs and the input offsets are one transaction, so neither a crash nor a
rebalance loses, doubles or re-decides a packet. Any error in a transaction ends the process and a fresh one starts from
the committed offsets: going on after an abort would lose the batch.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaException, Message, Producer, TopicPartition

from ingestion.door import Arrivals, Directory, by_partition, sort_out
from ingestion.ends import Ends
from ingestion.kafka import ADMITTED, READINGS, REFUSED, consumer_config, is_end, to_messages, topic_id
from ingestion.origin import origin_of

log = logging.getLogger(__name__)

BATCH = 10_000  # packets at most in one transaction
LINGER_S = 0.05  # how long a batch may wait to fill
CALL_S = 30.0  # time-out of each call to the broker
STALE_AFTER = timedelta(seconds=60)  # an older directory may admit what has been withdrawn

# Gives the snapshot to decide by, and when it was known to be true; called before each batch.
DirectorySource = Callable[[datetime], tuple[Directory, datetime]]
Progress = Callable[[dict[int, datetime]], None]  # by partition, the moment up to which everything has been read


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
            "queue.buffering.max.kbytes": 131072,
        }
        if transactions:
            # A short time-out, so that a dead door holds readers of committed data up for seconds only.
            producer |= {"transactional.id": f"{group}-{name}", "transaction.timeout.ms": 10_000}
        self._producer = Producer(producer)
        if transactions:
            self._producer.init_transactions(CALL_S)
        self._consumer.subscribe([READINGS], on_assign=self._assigned, on_revoke=self._revoked)

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop()`; raises on any error, and then the process should end."""
        try:
            while not stop():
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
        messages = self._read()
        if messages:
            self._decide(messages, known)
        if passed := self._ends.passed(self._reached, now):
            self._progress(passed)
        return len(messages)

    def _wait_for_directory(self) -> None:
        log.warning("the directory is older than %s: the door waits", STALE_AFTER)
        assigned = self._consumer.assignment()
        self._consumer.pause(assigned)
        self._consumer.poll(1.0)  # keeps the membership of the group
        self._consumer.resume(assigned)

    def _read(self) -> list[Message]:
        messages = []
        for message in self._consumer.consume(BATCH, LINGER_S):
            if (error := message.error()) is None:
                messages.append(message)
            elif is_end(error):
                self._reached[message.partition()] = message.offset()
            else:
                raise KafkaException(error)
        return messages

    def _decide(self, messages: list[Message], known: Directory) -> None:
        arrivals = _arrivals(self._topic_id, messages)
        partitions = np.unique(arrivals.partitions)
        ends = {int(p): int(arrivals.offsets[arrivals.partitions == p].max()) + 1 for p in partitions}
        outcome = sort_out(arrivals, known)
        if self._transactions:
            self._producer.begin_transaction()
        for partition, readings in by_partition(outcome.admitted, self._partitions):
            for value in to_messages(readings):
                self._producer.produce(ADMITTED, value, partition=partition, on_delivery=_must_arrive)
        for entry in outcome.refused:
            self._produce_refused(entry)
        offsets = [TopicPartition(READINGS, p, end) for p, end in ends.items()]
        if self._transactions:
            group = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction(offsets, group, CALL_S)
            self._producer.commit_transaction(CALL_S)
        else:
            if self._producer.flush(CALL_S):
                raise TimeoutError("the broker did not take a batch in time")
            self._consumer.commit(offsets=offsets, asynchronous=False)
        self._reached |= ends

    def _produce_refused(self, entry: bytes) -> None:
        while True:
            try:
                self._producer.produce(REFUSED, entry, on_delivery=_must_arrive)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for committed in consumer.committed(partitions, timeout=CALL_S):
            new = committed.offset < 0
            committed.offset = consumer.get_watermark_offsets(committed, timeout=CALL_S)[0] if new else committed.offset
            self._reached[committed.partition] = committed.offset
            next(p for p in partitions if p.partition == committed.partition).offset = committed.offset
        consumer.assign(partitions)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._reached.pop(partition.partition, None)


def _must_arrive(error: object, message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


def _arrivals(topic: str, messages: list[Message]) -> Arrivals:
    count = len(messages)
    now_ms = time.time_ns() // 1_000_000
    stamps = [m.timestamp() for m in messages]
    headers = [m.headers() for m in messages]
    received = np.fromiter(
        (ms if kind == TIMESTAMP_LOG_APPEND_TIME else now_ms for kind, ms in stamps), np.int64, count
    )
    return Arrivals(
        topic_id=topic,
        values=[m.value() for m in messages],
        keys=[m.key() for m in messages],
        accounts=[_account(h) for h in headers],
        partitions=np.fromiter((m.partition() for m in messages), np.int64, count),
        offsets=np.fromiter((m.offset() for m in messages), np.int64, count),
        received_at=received * 1000,
        origins={i: origin for i, h in enumerate(headers) if h and (origin := origin_of(h)) is not None},
    )


def _account(headers: list[tuple[str, bytes]] | None) -> str | None:
    """The account that signed in to sync this packet; only the REST API and imports of ours can set the header."""
    if headers:
        for name, value in headers:
            if name == "account" and value:
                return value.decode("ascii", "replace")
    return None
