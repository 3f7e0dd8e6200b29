"""The door on a real Apache Kafka, in this process; what a killed one leaves behind is in `tests/faults`."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaException, TopicPartition

from ingestion import kafka
from ingestion.doorway import PartitionMoved
from ingestion.reading import Refusal
from tests.ingestion.on_kafka.conftest import WARD, Broker, packet, run_until

pytestmark = pytest.mark.kafka


@pytest.fixture
def door(broker):
    """A door that is closed when the test ends."""
    doors = []

    def make(**more):
        doors.append(broker.doorway(**more))
        return doors[-1]

    yield make
    for each in doors:
        each.run(lambda: True)


def ids(broker: Broker) -> list[int]:
    """The numbers of the admitted packets, each partition in order."""
    return [int(row["record_id"]) for row in broker.admitted()]


@pytest.mark.parametrize("transactions", [True, False])
def test_packets_come_out_in_order_and_once(broker, door, transactions):
    broker.send(*(packet(i) for i in range(300)))
    at_work = door(transactions=transactions)
    run_until(at_work, 300)
    broker.send(*(packet(i) for i in range(300, 400)))
    run_until(at_work, 100)
    assert ids(broker) == list(range(400))
    assert broker.refused() == []


def test_received_at_is_the_time_at_which_the_broker_took_it(broker, door):
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    broker.send(packet(1), timestamp=1000)
    after = datetime.now(UTC)
    time.sleep(0.2)
    run_until(door(), 1)
    (row,) = broker.admitted()
    assert before <= row["received_at"] <= after


def test_a_door_goes_on_where_the_last_one_ended(broker, door):
    broker.send(*(packet(i) for i in range(10)))
    first = door()
    run_until(first, 10)
    first.run(lambda: True)
    broker.send(*(packet(i) for i in range(10, 20)))
    run_until(door(), 10)
    assert ids(broker) == list(range(20))


def test_what_is_no_reading_is_refused_with_its_place_and_its_neighbours_pass(broker, door):
    broker.send(packet(0), b"{", None, b"x" * 1_048_576, packet(1, "watch-dora"), packet(2), key=b"\xff")
    run_until(door(), 6)
    assert ids(broker) == [0, 2]
    assert sorted((r["offset"], r["reason"], r["length"]) for r in broker.refused())[:3] == [
        (1, Refusal.NOT_JSON, 1),
        (2, Refusal.EMPTY, 0),
        (3, Refusal.TOO_LARGE, 1_048_576),
    ]
    (withheld,) = (r for r in broker.refused() if r["offset"] == 4)
    assert withheld["reason"] == Refusal.NO_CONSENT
    assert "payload" not in withheld


def test_an_account_travels_in_a_header(broker, door):
    broker.send(packet(1, "watch-unknown"), headers=[("account", b"alice")])
    broker.send(packet(2, "watch-unknown"), headers=[("account", b"\xff"), ("trace", None)])
    run_until(door(), 2)
    assert ids(broker) == [1]
    assert [r["reason"] for r in broker.refused()] == [Refusal.UNKNOWN_ACCOUNT]


def test_more_refused_payload_than_fits_the_queue_is_one_transaction_all_the_same(broker, door, monkeypatch):
    monkeypatch.setattr("ingestion.doorway.QUEUE_KB", 2048)
    broker.send(*(b"x" * 60_000 for _ in range(100)), key="watch-alice")
    run_until(door(), 100)
    assert len(broker.refused()) == 100


def test_large_packets_do_not_come_all_in_one_batch(broker, door, monkeypatch):
    """A batch that outlasted the transaction's time-out would end the door, and the next one, for ever."""
    monkeypatch.setattr("ingestion.doorway.READ_AT_ONCE", 10)
    monkeypatch.setattr("ingestion.doorway.BATCH_BYTES", 1_000_000)
    broker.send(*(b"x" * 60_000 for _ in range(200)), key="watch-alice")
    at_work, batches = door(), []
    while sum(batches) < 200:
        batches.append(at_work.step())
    assert max(batches) <= 20 + 10
    assert len(broker.refused()) == 200


def test_a_door_whose_directory_is_stale_waits_and_loses_nothing(broker, door):
    broker.send(*(packet(i) for i in range(50)))
    broker.send(*(packet(i) for i in range(50, 100)), partition=1)
    true_at = [datetime.now(UTC) - timedelta(minutes=2)]
    at_work = door(known=lambda now: (WARD, true_at[0]))
    for _ in range(4):  # joins the group meanwhile
        assert at_work.step() == 0
    assert broker.admitted() == []
    true_at[0] = datetime.now(UTC)
    run_until(at_work, 100)
    assert sorted(ids(broker)) == list(range(100))


def test_what_retention_took_from_a_door_that_was_away_is_said_aloud(broker, door, caplog):
    broker.send(*(packet(i) for i in range(10)))
    first = door()
    run_until(first, 10)
    first.run(lambda: True)
    broker.send(*(packet(i) for i in range(10, 30)))
    broker.forget(kafka.READINGS, 0, 25)
    run_until(door(), 5)
    assert ids(broker) == [*range(10), *range(25, 30)]
    (said,) = [r for r in caplog.records if r.levelname == "CRITICAL"]
    assert "packets 10 to 25 were removed" in said.getMessage()


def test_a_second_door_joins_and_leaves_and_every_packet_is_decided_once(broker, door):
    """Both in one thread and by turns, while packets keep coming."""
    one, sent, decided = door(name="1"), 0, 0
    for name in ("2", "3"):
        other, of_other = door(name=name), 0
        while of_other == 0:  # until it has taken a partition over
            for partition in (0, 1):
                broker.send(*(packet(i) for i in range(sent, sent + 20)), partition=partition)
                sent += 20
            decided += one.step()
            of_other += other.step()
        other.run(lambda: True)
        decided += of_other
    run_until(one, sent - decided)
    assert sorted(ids(broker)) == list(range(sent))
    for partition in (0, 1):
        offsets = [row["source_offset"] for row in broker.admitted() if row["source_partition"] == partition]
        assert offsets == sorted(offsets)


@pytest.mark.parametrize("taken", [True, False], ids=["taken away", "given back"])
def test_packets_of_a_partition_that_moved_while_they_were_read_are_not_decided(broker, door, monkeypatch, taken):
    """A rebalance can happen amid a read; another door may have decided its packets before this one does."""
    at_work = door()
    broker.send(packet(0))
    run_until(at_work, 1)
    broker.send(packet(1))
    read = at_work._read

    def read_and_lose(count, seconds):
        messages, at_end = read(count, seconds)
        if messages:
            place = TopicPartition(kafka.READINGS, 0)
            at_work._revoked(at_work._consumer, [place])
            if not taken:  # and another door has decided them in between
                at_work._consumer.commit(offsets=[TopicPartition(kafka.READINGS, 0, 2)], asynchronous=False)
                at_work._assigned(at_work._consumer, [place])
        return messages, at_end

    monkeypatch.setattr(at_work, "_read", read_and_lose)
    with pytest.raises(PartitionMoved):
        run_until(at_work, 1)
    assert ids(broker) == [0]


def test_a_door_that_was_overtaken_under_its_name_can_commit_nothing(broker, door):
    broker.send(*(packet(i) for i in range(10)))
    asleep = door()
    run_until(asleep, 10)
    awake = door()  # the same name: the supervisor believed the first one dead
    broker.send(*(packet(i) for i in range(10, 20)), *(packet(i) for i in range(20, 30)))
    with pytest.raises(KafkaException):
        asleep.run(lambda: False)
    run_until(awake, 20)
    assert ids(broker) == list(range(30))


def test_a_door_says_how_far_it_has_come(broker, door):
    passed = {}
    at_work = door(progress=passed.update)
    broker.send(packet(0))
    began = datetime.now(UTC)
    run_until(at_work, 1)
    for _ in range(300):
        at_work.step()
        if len(passed) == 2:
            break
    assert passed.keys() == {0, 1}
    assert all(began - timedelta(minutes=1) <= at <= datetime.now(UTC) for at in passed.values())
