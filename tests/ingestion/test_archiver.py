"""Archive tasks on a real Apache Kafka: from `vitals.admitted` to the lake once, whatever happens in between."""

import pytest
from confluent_kafka import KafkaException, Producer

from ingestion import archiver, kafka
from ingestion.archiver import Archived, archive
from ingestion.lake import LakeMoved, append, open_readings, position
from tests.analytics.readings import reading, table
from tests.ingestion.conftest import Broker

pytestmark = pytest.mark.kafka


def message(first: int, last: int) -> bytes:
    """The readings first..last-1 as one Arrow message."""
    rows = table(reading(number, heart_rate=60) for number in range(first, last))
    (one,) = kafka.to_messages(rows.combine_chunks().to_batches()[0])
    return one


def admit(broker: Broker, *messages: bytes, partition: int = 0, producer: Producer | None = None) -> None:
    producer = producer or Producer({"bootstrap.servers": broker.address})
    for each in messages:
        producer.produce(kafka.ADMITTED, each, partition=partition)
    assert producer.flush(30) == 0


def transactional(broker: Broker) -> Producer:
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": broker.group})
    producer.init_transactions(30)
    producer.begin_transaction()
    return producer


def numbers(lake: str) -> list[int]:
    """What lies in the table, doubles and all."""
    ids = open_readings(lake).to_pyarrow_table(columns=["record_id"])["record_id"].to_pylist()
    return sorted(int(i.removeprefix("watch-")) for i in ids)


def place(broker: Broker, lake: str, partition: int = 0) -> int | None:
    return position(open_readings(lake), kafka.topic_id(broker.address, kafka.ADMITTED), partition)


def test_each_task_goes_on_where_the_table_ends(broker, lake):
    admit(broker, message(0, 10), message(10, 20))
    assert archive(lake, broker.address, range(4)) == Archived(20, {0: 2, 1: 0, 2: 0, 3: 0}, 0)
    assert archive(lake, broker.address, range(4)).rows == 0
    admit(broker, message(20, 25))
    admit(broker, message(25, 30), partition=3)
    assert archive(lake, broker.address, range(4)).rows == 10
    assert numbers(lake) == list(range(30))


def test_an_idle_task_commits_nothing(broker, lake):
    admit(broker, message(0, 10))
    archive(lake, broker.address, range(4))
    version = open_readings(lake).version()
    archive(lake, broker.address, range(4))
    assert open_readings(lake).version() == version


def test_tasks_share_the_partitions(broker, lake):
    for partition in range(4):
        admit(broker, message(partition * 10, partition * 10 + 10), partition=partition)
    assert archive(lake, broker.address, range(0, 4, 2)).positions == {0: 1, 2: 1}
    assert archive(lake, broker.address, range(1, 4, 2)).positions == {1: 1, 3: 1}
    assert numbers(lake) == list(range(40))


def test_a_task_stops_at_its_limit_and_the_next_goes_on(broker, lake, monkeypatch):
    monkeypatch.setattr(archiver, "MESSAGES_AT_ONCE", 2)
    admit(broker, *(message(i, i + 1) for i in range(10)))
    done = [archive(lake, broker.address, [0], rows_at_most=1).rows for _ in range(5)]
    assert done == [2] * 5
    assert numbers(lake) == list(range(10))


def test_a_task_that_was_overtaken_after_reading_writes_nothing(broker, lake, monkeypatch):
    admit(broker, message(0, 10))

    def overtaken(*args, **kwargs):
        monkeypatch.setattr(archiver, "append", append)
        assert archive(lake, broker.address, [0]).rows == 10
        append(*args, **kwargs)

    monkeypatch.setattr(archiver, "append", overtaken)
    with pytest.raises(LakeMoved):
        archive(lake, broker.address, [0])
    assert numbers(lake) == list(range(10))


def test_what_is_in_an_open_transaction_waits_for_its_commit(broker, lake):
    admit(broker, message(0, 10))
    door = transactional(broker)
    admit(broker, message(10, 20), producer=door)
    admit(broker, message(20, 30))  # behind it, and committed: it waits too
    assert archive(lake, broker.address, range(4)).rows == 10
    assert place(broker, lake) == 1
    assert archive(lake, broker.address, range(4)).rows == 0
    door.commit_transaction(30)
    assert archive(lake, broker.address, range(4)).rows == 20
    assert numbers(lake) == list(range(30))


def test_what_was_aborted_is_passed_over_and_never_read_again(broker, lake):
    door = transactional(broker)
    admit(broker, message(0, 10), producer=door)
    door.abort_transaction(30)
    assert archive(lake, broker.address, range(4)).rows == 0
    assert place(broker, lake) == 2  # one message and the mark of its end
    admit(broker, message(10, 20))
    assert archive(lake, broker.address, range(4)).rows == 10
    assert numbers(lake) == list(range(10, 20))


def test_what_retention_took_is_an_alarm_and_a_recorded_gap(broker, lake, caplog):
    admit(broker, message(0, 10))
    archive(lake, broker.address, range(4))
    admit(broker, *(message(i, i + 1) for i in range(10, 20)))
    broker.forget(kafka.ADMITTED, 0, 8)
    done = archive(lake, broker.address, range(4))
    assert (done.rows, done.positions[0], done.gaps) == (3, 11, 7)
    assert numbers(lake) == [*range(10), 17, 18, 19]
    (said,) = [r for r in caplog.records if r.levelname == "CRITICAL"]
    assert "offsets 1 to 8 were removed" in said.getMessage()
    (newest,) = open_readings(lake).history(1)
    assert newest[f"gap.{kafka.topic_id(broker.address, kafka.ADMITTED)}.0"] == "7"
    assert archive(lake, broker.address, range(4)).gaps == 0


def test_a_gap_with_nothing_behind_it_is_recorded_too(broker, lake):
    admit(broker, message(0, 10), message(10, 20))
    broker.forget(kafka.ADMITTED, 0, 2)
    assert archive(lake, broker.address, range(4)).gaps == 2
    assert place(broker, lake) == 2
    assert archive(lake, broker.address, range(4)).gaps == 0


def test_what_retention_takes_while_a_task_starts_ends_it_and_the_next_records_the_gap(broker, lake, monkeypatch):
    admit(broker, *(message(i, i + 1) for i in range(10)))
    starts = archiver._starts

    def too_late(consumer, begin):
        found = starts(consumer, begin)
        broker.forget(kafka.ADMITTED, 0, 6)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(archiver, "_starts", too_late)
        with pytest.raises(KafkaException):
            archive(lake, broker.address, range(4))
    assert numbers(lake) == []
    assert archive(lake, broker.address, range(4)).gaps == 6
    assert numbers(lake) == [6, 7, 8, 9]


def test_a_topic_made_anew_is_read_from_its_beginning(broker, lake):
    admit(broker, message(0, 10), message(10, 20))
    archive(lake, broker.address, range(4))
    (gone,) = broker.admin.delete_topics([kafka.ADMITTED], operation_timeout=30).values()
    gone.result(timeout=30)
    kafka.topics_create(broker.address, readings=2, admitted=4)
    admit(broker, message(20, 30))
    assert archive(lake, broker.address, range(4)).rows == 10
    assert numbers(lake) == list(range(30))


def test_a_position_beyond_the_end_of_the_log_is_never_taken_for_an_end(broker, lake):
    """A broker that came back with less than it had: somebody must look."""
    topic = kafka.topic_id(broker.address, kafka.ADMITTED)
    append(open_readings(lake), None, topic_id=topic, begin={0: 0}, end={0: 100})
    admit(broker, message(0, 10))
    with pytest.raises(KafkaException):
        archive(lake, broker.address, range(4))
    assert place(broker, lake) == 100
