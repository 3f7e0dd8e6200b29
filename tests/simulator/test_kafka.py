"""The default transport, on a real Apache Kafka."""

import json
import os

import pyarrow as pa
import pyarrow.parquet
import pytest
from confluent_kafka import Consumer, TopicPartition

from ingestion.kafka import READINGS, consumer_config, topics_create
from simulator import iot_simulator, transports

pytestmark = pytest.mark.kafka


@pytest.fixture
def bootstrap(monkeypatch):
    address = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    return address


@pytest.fixture
def arriving(bootstrap):
    """A function that gives what has come to `vitals.readings` since the test began."""
    topics_create(bootstrap, readings=4, admitted=4)
    consumer = Consumer(consumer_config(bootstrap, "test-simulator"))
    partitions = consumer.list_topics(READINGS, timeout=30).topics[READINGS].partitions
    ends = [
        TopicPartition(READINGS, p, consumer.get_watermark_offsets(TopicPartition(READINGS, p), timeout=30)[1])
        for p in partitions
    ]

    def read():
        consumer.assign(ends)  # not earlier: it would hear of ends that lie before what is sent now
        messages, open_partitions = [], set(partitions)
        while open_partitions:
            for message in consumer.consume(500, 0.5):
                if message.error():
                    open_partitions.discard(message.partition())
                else:
                    messages.append(message)
        return messages

    yield read
    consumer.close()


def test_every_packet_arrives_once_in_order_and_keyed_by_its_device(arriving, tmp_path, capsys):
    common = ["--devices", "20", "--duration", "120", "--speed", "max", "--start", "2026-03-01T10:00:00Z"]
    assert iot_simulator.main(common) == 0
    out = tmp_path / "out.jsonl"
    assert iot_simulator.main([*common, "--transport", "file", "--output", str(out)]) == 0

    messages = arriving()
    assert sorted(m.value() for m in messages) == sorted(out.read_bytes().splitlines())
    assert all(m.key().decode() == json.loads(m.value())["device_id"] for m in messages)
    assert {m.headers() for m in messages} == {None}
    of_one = [json.loads(m.value())["timestamp"] for m in messages if m.key() == b"device_7"]
    assert of_one == sorted(of_one)
    assert len(of_one) == 24
    assert "Sending to Kafka at" in capsys.readouterr().err


def test_a_recorded_series_travels_in_the_name_of_its_account(arriving, tmp_path):
    path = tmp_path / "series.parquet"
    times = pa.array([1_460_445_660_000_000, 1_460_445_720_000_000], pa.timestamp("us"))
    pyarrow.parquet.write_table(pa.table({"user": ["a", "a"], "ts": times, "hr": [61.0, 62.0]}), path)
    assert iot_simulator.main(["--replay", str(path), "--account", "alice-account"]) == 0
    messages = arriving()
    assert [m.headers() for m in messages] == [[("account", b"alice-account")]] * 2
    assert {m.key() for m in messages} == {b"replay_a"}


def test_a_missing_topic_is_waited_for_and_never_made(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(transports, "TOPIC", "vitals.nobody-made-this")
    monkeypatch.setattr(transports, "TOPIC_S", 1.0)
    for _ in range(2):  # the second finds that the first has not made it
        assert iot_simulator.main(["--devices", "1", "--duration", "1"]) == 2
        assert "manage.py run_door" in capsys.readouterr().err
