"""How far each hop of the path has come: counts from the broker's and the lake's own books, and what still waits.

A hop's position is what it would go on from after a crash, so nothing is counted as done that could be lost.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingestion.kafka import ADMITTED, READINGS, consumer_config, is_end, topic_id
from ingestion.lake import open_readings, position
from ingestion.walk import CALL_S, bounds

WAITING_S = 5.0  # how long the messages that wait are asked for their age


@dataclass(frozen=True, slots=True)
class Hop:
    """One reader of one topic. `passed` and `behind` count offsets; `oldest` is when the message that has waited
    longest came in (UTC), or None if none waits or the broker did not say in time.
    """

    topic: str
    positions: dict[int, int]
    passed: int
    behind: int
    oldest: datetime | None

    def lag_s(self, now: datetime) -> float:
        return 0.0 if self.oldest is None else max((now - self.oldest).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Path:
    """The path at one moment. `received` counts offsets of `vitals.readings`, `admitted` batches of `vitals.admitted`,
    `rows` the readings in the table; `hops` are "door", "watcher" and "archiver".
    """

    at: datetime
    received: int
    admitted: int
    rows: int
    hops: dict[str, Hop] = field(default_factory=dict)


def look(bootstrap: str, lake: str, now: datetime) -> Path:
    """Ask broker and lake. Raises KafkaException if the broker does not answer."""
    consumer = Consumer(consumer_config(bootstrap, "path"))
    try:
        readings, admitted = bounds(consumer, READINGS), bounds(consumer, ADMITTED)
        table, topic = open_readings(lake), topic_id(bootstrap, ADMITTED)
        archived = {p: position(table, topic, p) or 0 for p in admitted}
        hops = {
            "door": _hop(consumer, READINGS, readings, committed(bootstrap, "door", READINGS, readings)),
            "watcher": _hop(consumer, ADMITTED, admitted, committed(bootstrap, "watcher", ADMITTED, admitted)),
            "archiver": _hop(consumer, ADMITTED, admitted, archived),
        }
        return Path(now, _end(readings), _end(admitted), table.count(), hops)
    finally:
        consumer.close()


def committed(bootstrap: str, group: str, topic: str, span: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """The position of a consumer group in each partition, without joining it; the oldest offset where it has none."""
    consumer = Consumer(consumer_config(bootstrap, group))
    try:
        found = consumer.committed([TopicPartition(topic, p) for p in span], timeout=CALL_S)
    finally:
        consumer.close()
    return {f.partition: f.offset if f.offset >= 0 else span[f.partition][0] for f in found}


def _end(span: Mapping[int, tuple[int, int]]) -> int:
    return sum(end for _, end in span.values())


def _hop(consumer: Consumer, topic: str, span: Mapping[int, tuple[int, int]], positions: Mapping[int, int]) -> Hop:
    at = {p: min(positions[p], end) for p, (_, end) in span.items()}
    behind = {p: span[p][1] - max(at[p], span[p][0]) for p in span}
    waiting = {p: max(at[p], span[p][0]) for p in span if behind[p] > 0}
    return Hop(topic, at, sum(at.values()), sum(behind.values()), _oldest(consumer, topic, waiting))


def _oldest(consumer: Consumer, topic: str, waiting: Mapping[int, int]) -> datetime | None:
    """When the first message at or after these offsets came in; control records alone are nothing that waits."""
    if not waiting:
        return None
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in waiting.items()])
    unread, stamps, until = set(waiting), [], time.monotonic() + WAITING_S
    try:
        while unread and time.monotonic() < until:
            for message in consumer.consume(1, 0.5):
                error = message.error()
                if error is not None and not is_end(error):
                    raise KafkaException(error)
                if message.partition() in unread:
                    unread.discard(message.partition())
                    consumer.pause([TopicPartition(topic, message.partition())])
                    if error is None:
                        stamps.append(message.timestamp()[1])
    finally:
        consumer.unassign()
    return datetime.fromtimestamp(min(stamps) / 1000, UTC) if stamps else None
