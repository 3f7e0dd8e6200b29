"""From `vitals.admitted` to the lake, exactly once: one archive task.

The table itself holds the positions. A task starts there, reads what is there, and appends rows and new positions in
one commit through the snapshot it started from. A second or a woken task is refused by the commit, and ends.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingestion.kafka import ADMITTED, consumer_config, from_messages, is_end, topic_id
from ingestion.lake import append, open_readings, position

log = logging.getLogger(__name__)

ROWS_AT_MOST = 1_000_000
MESSAGES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Archived:
    """What one task did: rows appended, and the position of each partition after it. `gaps` counts lost offsets."""

    rows: int
    positions: dict[int, int]
    gaps: int


def archive(
    lake: str, bootstrap: str, partitions: Sequence[int], *, seconds: float = 20.0, rows_at_most: int = ROWS_AT_MOST
) -> Archived:
    """Append what these partitions hold beyond the table's positions, reading for at most `seconds`.

    Raises `lake.LakeMoved` (nothing written) if another task has written the same partitions meanwhile, and
    KafkaException if the broker fails. Reads the end of every partition or stops at the limits; the next task goes on.
    """
    topic = topic_id(bootstrap, ADMITTED)
    table = open_readings(lake)
    begin = {p: position(table, topic, p) or 0 for p in partitions}
    consumer = Consumer(consumer_config(bootstrap, "archiver"))
    try:
        start, gaps = _starts(consumer, begin)
        consumer.assign([TopicPartition(ADMITTED, p, offset) for p, offset in start.items()])
        messages, end = _read(consumer, start, time.monotonic() + seconds, rows_at_most)
    finally:
        consumer.close()
    if end == begin:
        return Archived(0, end, 0)
    rows = from_messages(messages)
    append(table, rows if rows.num_rows else None, topic_id=topic, begin=begin, end=end, gaps=gaps)
    return Archived(rows.num_rows, end, sum(gaps.values()))


def _starts(consumer: Consumer, begin: dict[int, int]) -> tuple[dict[int, int], dict[int, int]]:
    """Where reading can begin, and how many offsets retention has taken from each partition before that."""
    start, gaps = {}, {}
    for partition, offset in begin.items():
        oldest, _ = consumer.get_watermark_offsets(TopicPartition(ADMITTED, partition), timeout=30)
        start[partition] = max(offset, oldest)
        if oldest > offset:
            gaps[partition] = oldest - offset
            log.critical(
                "partition %d: offsets %d to %d were removed before they were archived", partition, offset, oldest
            )
    return start, gaps


def _read(
    consumer: Consumer, start: dict[int, int], until: float, rows_at_most: int
) -> tuple[list[bytes], dict[int, int]]:
    """Messages in order, and the position of each partition behind them (control records leave gaps in offsets)."""
    messages: list[bytes] = []
    end = dict(start)
    unread = set(start)
    size = 0
    while unread and time.monotonic() < until and size < rows_at_most * 200:
        for message in consumer.consume(MESSAGES_AT_ONCE, 0.2):
            if (error := message.error()) is None:
                messages.append(message.value())
                size += len(messages[-1]) * 4  # lz4: about four to one
                end[message.partition()] = message.offset() + 1
            elif is_end(error):
                end[message.partition()] = message.offset()
                unread.discard(message.partition())
            else:
                raise KafkaException(error)
    return messages, end
