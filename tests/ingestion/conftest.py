"""Topics of a test's own on the shared broker, and the people whose packets travel through them."""

import json
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from ingestion import archiver, doorway, kafka
from ingestion.door import Belonging, Person, directory

ALICE, DORA = "a" * 32, "d" * 32
WARD = directory(
    ["watch-alice", "watch-dora"],
    [Belonging("watch-alice", ALICE, 0), Belonging("watch-dora", DORA, 0)],
    [Person(ALICE, "riverside", True, 1, account="alice"), Person(DORA, "riverside", False, 2)],
)


def packet(number: int, device: str = "watch-alice") -> bytes:
    """A reading of now, whose record id is its number."""
    now = datetime.now(UTC).isoformat()
    return json.dumps(
        {"device_id": device, "timestamp": now, "heart_rate": 60 + number % 40, "record_id": str(number)}
    ).encode()


@dataclass
class Broker:
    """The test's own topics, on the real broker: `readings` has 2 partitions, `admitted` 4."""

    address: str
    group: str = field(default_factory=lambda: f"door-{uuid.uuid4().hex}")
    admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.address})

    def send(self, *packets: bytes | None, partition: int = 0, **more: object) -> None:
        producer = Producer({"bootstrap.servers": self.address, "message.max.bytes": 4_000_000})
        failed = []
        for value in packets:
            producer.produce(
                kafka.READINGS,
                value,
                partition=partition,
                on_delivery=lambda error, _: error and failed.append(error),
                **more,
            )
        assert producer.flush(30) == 0
        assert failed == []

    def read(self, topic: str, *, isolation: str = "read_committed") -> list:
        """Everything that can be read of a topic now, partition after partition."""
        config = kafka.consumer_config(self.address, "a-test") | {"isolation.level": isolation}
        consumer = Consumer(config)
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        messages = {p: [] for p in partitions}
        consumer.assign([TopicPartition(topic, p, _oldest(consumer, topic, p)) for p in partitions])
        unread = set(partitions)
        while unread:
            for message in consumer.consume(1000, 0.1):
                if message.error() is None:
                    messages[message.partition()].append(message)
                else:
                    unread.discard(message.partition())
        consumer.close()
        return [m for p in sorted(messages) for m in messages[p]]

    def admitted(self) -> list[dict]:
        """The readings in `vitals.admitted`, each partition in order."""
        return kafka.from_messages(m.value() for m in self.read(kafka.ADMITTED)).to_pylist()

    def refused(self) -> list[dict]:
        return [json.loads(m.value()) for m in self.read(kafka.REFUSED)]

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Let retention take everything before this offset."""
        (deleted,) = self.admin.delete_records([TopicPartition(topic, partition, before)]).values()
        deleted.result(timeout=30)

    def doorway(self, name: str = "1", **more: object) -> doorway.Doorway:
        return doorway.Doorway(
            self.address,
            name=name,
            group=self.group,
            **{
                "transactions": True,
                "admitted_partitions": 4,
                "known": lambda now: (WARD, now),
                "progress": lambda passed: None,
                **more,
            },
        )


def _oldest(consumer: Consumer, topic: str, partition: int) -> int:
    return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[0]


@pytest.fixture
def broker(monkeypatch) -> Broker:
    name = uuid.uuid4().hex[:8]
    for constant in ("READINGS", "ADMITTED", "REFUSED"):
        topic = f"test.{constant.lower()}.{name}"
        for module in (kafka, doorway, archiver):
            monkeypatch.setattr(module, constant, topic, raising=module is kafka)
    broker = Broker(os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"])
    kafka.topics_create(broker.address, readings=2, admitted=4)
    return broker


def run_until(door: doorway.Doorway, decided: int, *, steps: int = 600) -> None:
    """Let the door work until it has decided so many packets."""
    for _ in range(steps):
        decided -= door.step()
        if decided <= 0:
            return
    raise AssertionError(f"{decided} packets were not decided")
