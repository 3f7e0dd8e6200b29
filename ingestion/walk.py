"""Reading a topic from one place to its present end, once: for whoever looks and decides nothing.

The demo's broker says that a topic ends behind the first message of its last batch. So the rest of a batch is read too.
"""

import time
from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from ingestion.kafka import consumer_config, is_end

CALL_S = 30.0


def bounds(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    """The oldest offset and the end of each partition. Raises KafkaException if the broker does not say."""
    partitions = consumer.list_topics(topic, timeout=CALL_S).topics[topic].partitions
    return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=CALL_S) for p in sorted(partitions)}


def walk(
    bootstrap: str,
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    stop: Mapping[int, int] | None = None,
    at_once: int = 5000,
    wait_s: float = 0.0,
) -> Iterator[list[Message]]:
    """Batches of committed messages of every partition, from `start` (else the oldest) to the present end
    at least.

    With `stop`, only the partitions that it names, each up to before that offset. Offsets within a partition ascend.
    What retention has taken before `start` is passed over. A transaction that is still open hides what was committed
    behind it: it is waited for up to `wait_s` seconds. Memory is bounded by `at_once` messages and what the client
    queues. Raises KafkaException if the broker fails.
    """
    consumer = Consumer(consumer_config(bootstrap, "walk") | {"queued.max.messages.kbytes": 16384})
    try:
        span = bounds(consumer, topic)
        if stop is not None:
            span = {p: (span[p][0], min(span[p][1], before)) for p, before in stop.items()}
        for batch in to_ends(consumer, topic, span, start or {}, at_once, wait_s):
            if wanted := [m for m in batch if stop is None or m.offset() < stop[m.partition()]]:
                yield wanted
    finally:
        consumer.close()


def to_ends(
    consumer: Consumer,
    topic: str,
    span: Mapping[int, tuple[int, int]],
    start: Mapping[int, int],
    at_once: int,
    wait_s: float = 0.0,
) -> Iterator[list[Message]]:
    """As `walk`, through a consumer of the caller's own and at least up to the ends in `span` (see `bounds`)."""
    first = {p: max(start.get(p, 0), oldest) for p, (oldest, _) in span.items()}
    first = {p: offset for p, offset in first.items() if offset < span[p][1]}
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in first.items()])
    unread = set(first)
    until = time.monotonic() + wait_s
    while unread:
        batch = []
        # What is there already, once something is: `consume` would wait for all of `at_once`.
        for message in (*consumer.consume(1, 1.0), *consumer.consume(at_once - 1, 0.0)):
            partition, end = message.partition(), span[message.partition()][1]
            if (error := message.error()) is None:
                batch.append(message)
                if message.offset() >= end - 1:
                    unread.discard(partition)
            elif is_end(error):
                if message.offset() >= end or not wait_s:
                    unread.discard(partition)
            else:
                raise KafkaException(error)
        if batch:
            yield batch
            until = time.monotonic() + wait_s
        elif wait_s and time.monotonic() > until:
            raise TimeoutError(f"{topic} has had an open transaction for {wait_s:.0f} s: try again")
