"""How far each hop of the path has come: counts from the broker's and the lake's own books, and what still waits.

A hop's position is what it would go on from after a crash, so nothing is counted as done that could be lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from time import monotonic

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingestion.kafka import ADMITTED, READINGS, committed, consumer_config, is_end, topic_id
from ingestion.lake import open_readings, position
from ingestion.lake.tables import READINGS as TABLE
from ingestion.lake.tables import Snapshot, newest
from ingestion.walk import bounds

WAITING_S = 5.0  # how long the messages that wait are asked for their age


@dataclass(frozen=True, slots=True)
class Hop:
    """What a hop is done with and what waits for it. `oldest` is since when the oldest waits (UTC), or None if nothing
    waits or the broker did not say in time. Sealing counts readings, the others offsets.
    """

    passed: int
    behind: int
    oldest: datetime | None

    def lag_s(self, now: datetime) -> float:
        return 0.0 if self.oldest is None else max((now - self.oldest).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Path:
    """The path at one moment. `received` counts offsets of `vitals.readings`, `admitted` batches of `vitals.admitted`,
    `rows` the readings in the table; `hops` are "door", "watcher", "archiver" and "sealing".
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
        files = newest(lake, TABLE)
        archived = {p: position(table, topic, p) or 0 for p in admitted}
        hops = {
            "door": _hop(consumer, READINGS, readings, position_of(bootstrap, "door", READINGS, readings)),
            "watcher": _hop(consumer, ADMITTED, admitted, position_of(bootstrap, "watcher", ADMITTED, admitted)),
            "archiver": _hop(consumer, ADMITTED, admitted, archived),
            "sealing": _sealing(files, now),
        }
        return Path(now, _end(readings), _end(admitted), sum(file.rows for file in files.files), hops)
    finally:
        consumer.close()


def position_of(bootstrap: str, group: str, topic: str, span: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """The position of a consumer group in each partition, without joining it; the oldest offset where it has none."""
    consumer = Consumer(consumer_config(bootstrap, group))
    try:
        found = committed(consumer, [TopicPartition(topic, p) for p in span])
    finally:
        consumer.close()
    return {p: offset if offset >= 0 else span[p][0] for p, offset in found.items()}


def _end(span: Mapping[int, tuple[int, int]]) -> int:
    return sum(end for _, end in span.values())


def _hop(consumer: Consumer, topic: str, span: Mapping[int, tuple[int, int]], positions: Mapping[int, int]) -> Hop:
    at = {p: min(positions[p], end) for p, (_, end) in span.items()}
    behind = {p: span[p][1] - max(at[p], span[p][0]) for p in span}
    waiting = {p: max(at[p], span[p][0]) for p in span if behind[p] > 0}
    return Hop(sum(at.values()), sum(behind.values()), _oldest(consumer, topic, waiting))


def _sealing(table: Snapshot, now: datetime) -> Hop:
    """Days wait from their end, or from when something came for them. What came late for the archive waits for that."""
    passed = behind = 0
    since = []
    for (organisation, day), files in table.by_partition.items():
        ended = datetime.combine(day + timedelta(days=1), time(), UTC)
        passed += sum(file.rows for file in files if file.sealed)
        waiting = [file for file in files if not file.sealed]
        if waiting and ended <= now and table.is_whole(organisation, day):
            behind += sum(file.rows for file in waiting)
            since.append(max(ended, min(file.added for file in waiting)))
    return Hop(passed, behind, min(since, default=None))


def _oldest(consumer: Consumer, topic: str, waiting: Mapping[int, int]) -> datetime | None:
    """When the first message at or after these offsets came in; control records alone are nothing that waits."""
    if not waiting:
        return None
    places = [TopicPartition(topic, p, offset) for p, offset in waiting.items()]
    consumer.assign(places)
    unread, stamps, until = set(waiting), [], monotonic() + WAITING_S
    try:
        while unread and monotonic() < until:
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
        consumer.resume(places)  # a pause outlives the assignment
        consumer.unassign()
    return datetime.fromtimestamp(min(stamps) / 1000, UTC) if stamps else None
