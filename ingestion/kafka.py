"""Kafka: the topics, Arrow batches as messages, and what every client of ours is configured with."""

import time
from collections.abc import Iterable, Iterator

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from ingestion.lake import READING_SCHEMA

READINGS = "vitals.readings"  # JSON packets, keyed by device
ADMITTED = "vitals.admitted"  # Arrow batches, partitioned by range of subjects
REFUSED = "vitals.refused"  # JSON, with the reason
RETENTION_MS = 7 * 24 * 3600 * 1000
LEADERS_WITHIN_S = 30
ANSWER_WITHIN_S = 30.0
NO_COORDINATOR_YET = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
LARGEST_MESSAGE = 512 * 1024  # bytes of one Arrow message
LARGEST_ARRIVAL = 2 * 1024 * 1024  # bytes of a packet that still gets in, to be refused with its reason

# One thread: a message is far too small for Arrow to share its columns out among several.
_WRITE = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ = pa.ipc.IpcReadOptions(use_threads=False)


def topics_create(bootstrap: str, *, readings: int, admitted: int) -> None:
    """Make the three topics that are not there yet, with so many partitions, and wait until each can be read.

    Their timestamps are the broker's append time: with the packet's own time, retention would delete synced history at
    once. Raises KafkaException if the broker cannot be reached in 30 s or refuses.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    existing = admin.list_topics(timeout=30).topics
    config = {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(RETENTION_MS),
        "max.message.bytes": str(LARGEST_ARRIVAL),
    }
    wanted = {READINGS: readings, ADMITTED: admitted, REFUSED: 2}
    missing = [NewTopic(name, count, 1, config=config) for name, count in wanted.items() if name not in existing]
    for future in (admin.create_topics(missing) if missing else {}).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                raise
    partitions = {n: existing[n].partitions if n in existing else range(count) for n, count in wanted.items()}
    asked = [TopicPartition(name, p) for name, numbers in partitions.items() for p in numbers]
    until = time.monotonic() + LEADERS_WITHIN_S
    while not _answer(admin, asked):
        if time.monotonic() > until:
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "a topic just made has no leader"))
        time.sleep(0.05)


def _answer(admin: AdminClient, partitions: list[TopicPartition]) -> bool:
    """Whether questions about these are answered: a partition just made has no leader for a moment.

    The topics are listed first, each time: a client that has once heard "no leader" would go on believing it.
    """
    topics = admin.list_topics(timeout=30).topics
    for place in partitions:
        known = topics[place.topic].partitions.get(place.partition) if place.topic in topics else None
        if known is None or known.leader < 0:
            return False
    answers = admin.list_offsets({p: OffsetSpec.latest() for p in partitions}, request_timeout=10)
    try:
        for answer in answers.values():
            answer.result()
    except KafkaException:
        return False
    return True


def topic_id(bootstrap: str, topic: str) -> str:
    """The id of this incarnation of the topic: one made anew under the same name has another.

    Raises KafkaException if the broker does not answer within ANSWER_WITHIN_S seconds, or has no such topic.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})  # must outlive the call
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_WITHIN_S)[topic].result()
    return str(described.topic_id)


def committed(consumer: Consumer, places: list[TopicPartition]) -> dict[int, int]:
    """The position of the consumer's group by partition, without joining it; negative where it has none.

    A coordinator that is just being made, or moves, is asked again for ANSWER_WITHIN_S seconds. Raises KafkaException
    then, and for any other error, that of a single partition too: taken for "none", it would have all read again.
    """
    until = time.monotonic() + ANSWER_WITHIN_S
    while True:
        try:
            found = consumer.committed(places, timeout=ANSWER_WITHIN_S)
            if errors := [place.error for place in found if place.error is not None]:
                raise KafkaException(errors[0])
            return {place.partition: place.offset for place in found}
        except KafkaException as error:
            if error.args[0].code() not in NO_COORDINATOR_YET or time.monotonic() > until:
                raise
            time.sleep(0.1)


def packets_send(bootstrap: str, packets: Iterable[tuple[str, bytes]]) -> None:
    """Send packets, (device id, JSON), to `vitals.readings`. Raises KafkaException if one does not arrive in 10 s."""
    failed: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 10_000})
    for device_id, packet in packets:
        producer.produce(READINGS, packet, key=device_id, on_delivery=lambda e, _: failed.append(e) if e else None)
    if producer.flush(15) or failed:
        raise KafkaException(*failed[:1])


def consumer_config(bootstrap: str, group: str) -> dict[str, object]:
    """A consumer that commits by hand, reads only what was committed, and says when it has reached an end.

    `auto.offset.reset=error`: a position that retention has passed must be noticed, never skipped in silence.
    """
    return {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1500,
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 20,
        "queued.max.messages.kbytes": 65536,
    }


def is_end(error: KafkaError) -> bool:
    return bool(error.code() == KafkaError._PARTITION_EOF)


def to_messages(readings: pa.RecordBatch) -> Iterator[bytes]:
    """Arrow messages of at most LARGEST_MESSAGE bytes each."""
    if readings.num_rows > 4096:
        half = readings.num_rows // 2
        yield from to_messages(readings.slice(0, half))
        yield from to_messages(readings.slice(half))
        return
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, READING_SCHEMA, options=_WRITE) as writer:
        writer.write_batch(readings)
    message = sink.getvalue()
    if message.size <= LARGEST_MESSAGE or readings.num_rows == 1:
        yield message.to_pybytes()
        return
    half = readings.num_rows // 2
    yield from to_messages(readings.slice(0, half))
    yield from to_messages(readings.slice(half))


def from_messages(messages: Iterable[bytes]) -> pa.Table:
    """The readings of Arrow messages, in order."""
    batches = [batch for m in messages for batch in pa.ipc.open_stream(m, options=_READ)]
    return pa.Table.from_batches(batches, READING_SCHEMA)
