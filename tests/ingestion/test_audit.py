"""The audit finds what is lost and what is doubled, and nothing else, on a real Apache Kafka."""

import os
import uuid
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake

from ingestion.archiver import archive
from ingestion.audit import audit
from ingestion.door import Belonging, Person, directory
from ingestion.doorway import Doorway
from ingestion.kafka import READINGS, topics_create
from ingestion.lake import open_readings
from tests.ingestion.packets import decide, packet, send

pytestmark = pytest.mark.kafka
SUBJECT = "c" * 32
DEVICE = f"watch-{uuid.uuid4().hex}"


@pytest.fixture
def bootstrap():
    address = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]
    topics_create(address, readings=4, admitted=4)
    return address


def run_door(bootstrap):
    """The door's own group decides everything that waits; DEVICE alone is known to it."""
    known = directory([DEVICE], [Belonging(DEVICE, SUBJECT, 0)], [Person(SUBJECT, "org", True, 1)])
    door = Doorway(
        bootstrap,
        name=uuid.uuid4().hex,
        transactions=True,
        admitted_partitions=4,
        known=lambda now: (known, now),
        progress=lambda passed: None,
    )
    decide(bootstrap, door)
    door._consumer.close()


@pytest.fixture
def since(bootstrap):
    """The moment from which this test's packets come; what waited before has been decided."""
    run_door(bootstrap)
    return datetime.now(UTC)


def test_every_packet_is_found_where_it_is(bootstrap, since, tmp_path):
    lake = str(tmp_path / "lake")
    send(bootstrap, READINGS, [{"value": packet(DEVICE, m), "key": DEVICE.encode()} for m in range(50)])
    send(bootstrap, READINGS, [{"value": packet("nobody's", m), "key": b"nobody's"} for m in range(20)])
    run_door(bootstrap)
    archive(lake, bootstrap, range(4))
    send(bootstrap, READINGS, [{"value": packet(DEVICE, 60 + m), "key": DEVICE.encode()} for m in range(10)])
    run_door(bootstrap)
    send(bootstrap, READINGS, [{"value": packet(DEVICE, 90), "key": DEVICE.encode()}])

    for at_once in (50_000_000, 40):  # one pass, and many
        done = audit(bootstrap, lake, since=since, offsets_at_once=at_once)
        assert (done.packets, done.in_lake, done.refused, done.on_the_way, done.undecided) == (80, 50, 20, 10, 1)
        assert done.clean
    run_door(bootstrap)
    archive(lake, bootstrap, range(4))
    done = audit(bootstrap, lake, since=since)
    assert (done.packets, done.in_lake, done.refused, done.on_the_way, done.undecided) == (81, 61, 20, 0, 0)
    assert done.clean


def test_what_is_lost_or_doubled_is_named(bootstrap, since, tmp_path):
    lake = str(tmp_path / "lake")
    send(bootstrap, READINGS, [{"value": packet(DEVICE, m), "key": DEVICE.encode()} for m in range(100, 130)])
    run_door(bootstrap)
    archive(lake, bootstrap, range(4))
    table = open_readings(lake)
    rows = table.to_pyarrow_table().filter(pc.field("received_at") >= pa.scalar(since, pa.timestamp("us", "UTC")))
    first = rows.sort_by([("source_partition", "ascending"), ("source_offset", "ascending")])
    lost, twice = ((first["source_partition"][i].as_py(), first["source_offset"][i].as_py()) for i in (3, 7))
    table.delete(f"source_partition = {lost[0]} AND source_offset = {lost[1]}")
    write_deltalake(open_readings(lake), first.slice(7, 1), mode="append")

    done = audit(bootstrap, lake, since=since)
    assert (done.missing_at, done.doubled_at) == ([lost], [twice])
    assert (done.packets, done.missing, done.doubled) == (30, 1, 1)
    assert not done.clean

    # Of a person who was erased, nothing is missing.
    assert audit(bootstrap, lake, since=since, erased=[SUBJECT]).missing == 0
    assert audit(bootstrap, lake, since=since, erased=["d" * 32]).missing == 1


def test_a_reading_delivered_twice_and_sealed_is_not_missing(bootstrap, since, tmp_path):
    lake = str(tmp_path / "lake")
    for _ in range(2):
        send(bootstrap, READINGS, [{"value": packet(DEVICE, m), "key": DEVICE.encode()} for m in range(200, 205)])
        run_door(bootstrap)
    archive(lake, bootstrap, range(4))
    table = open_readings(lake)
    mine = table.to_pyarrow_table().filter(pc.field("received_at") >= pa.scalar(since, pa.timestamp("us", "UTC")))
    earlier = sorted(zip(mine["source_offset"].to_pylist(), mine["source_partition"].to_pylist(), strict=True))[:5]
    for offset, partition in earlier:
        table.delete(f"source_partition = {partition} AND source_offset = {offset}")  # as sealing does
    done = audit(bootstrap, lake, since=since)
    assert (done.packets, done.in_lake, done.delivered_again, done.missing) == (10, 5, 5, 0)


def test_nothing_to_audit_is_clean(bootstrap, since, tmp_path):
    done = audit(bootstrap, str(tmp_path / "lake"), since=since + timedelta(days=1))
    assert (done.packets, done.clean) == (0, True)
