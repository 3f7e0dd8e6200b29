"""Refused packets go back through the door, on a real Apache Kafka: each once, whatever kills the run."""

import json
import os
import signal
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow.compute as pc
import pytest

from ingestion.door import Belonging, Person, directory
from ingestion.doorway import Doorway
from ingestion.kafka import ADMITTED, READINGS, from_messages, topics_create
from ingestion.origin import Origin, origin_of
from ingestion.refused import refused
from ingestion.replay import REASONS, replay
from tests.ingestion.packets import NOW, decide, packet, read, refuse, send
from tests.servers.forked import Forked

pytestmark = pytest.mark.kafka
SUBJECT = "5" * 32
PLACES = ("after_fence", "after_produce", "after_flush", "after_offsets", "after_commit")


@pytest.fixture(scope="module")
def bootstrap():
    address = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]
    topics_create(address, readings=4, admitted=4)
    return address


def soon(read, count=3):
    """What `read` gives once it gives so many: Kafka marks a transaction in each partition only after the commit."""
    until = time.monotonic() + 60
    while len(found := read()) != count and time.monotonic() < until:
        time.sleep(0.1)
    return found


def refused_again(bootstrap, door, device):
    """A transaction that is not yet marked in its partition is not seen by the door: it must look again."""
    door.decide()
    return [p for p in refused(bootstrap) if p.device_id == device and p.origin]


class Door:
    """A door with a group of its own that looks only at what comes from now on."""

    def __init__(self, bootstrap, known):
        self.known, self._bootstrap = known, bootstrap
        self._door = Doorway(
            bootstrap,
            name="t",
            transactions=True,
            admitted_partitions=4,
            known=lambda now: (self.known, now),
            progress=lambda passed: None,
            group=f"door-{uuid.uuid4().hex}",
        )

    def decide(self):
        decide(self._bootstrap, self._door)

    def close(self):
        self._door._consumer.close()


def test_a_mended_cause_and_a_replay_bring_the_readings_in(bootstrap):
    mine, other = f"watch-{uuid.uuid4().hex}", f"watch-{uuid.uuid4().hex}"
    send(bootstrap, READINGS, [{"value": packet(d, m), "key": d.encode()} for d in (mine, other) for m in range(3)])
    person = Person(SUBJECT, "org", consented=True, consent_sequence=1)
    door = Door(bootstrap, directory([mine, other], [], [person]))
    try:
        door.decide()
        unknown = soon(lambda: [p for p in refused(bootstrap) if p.device_id in (mine, other)], 6)
        first = {(p.at.partition, p.at.offset): p for p in unknown}
        assert {p.reason for p in first.values()} == {"unassigned"}
        assert len(first) == 6

        door.known = directory([mine, other], [Belonging(mine, SUBJECT, 0)], [person])
        replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC))
        again = soon(lambda: refused_again(bootstrap, door, other))
    finally:
        door.close()

    rows = soon(
        lambda: from_messages(m.value() for m in read(bootstrap, ADMITTED)).filter(pc.field("device_id") == mine)
    )
    assert sorted(rows["heart_rate"].to_pylist()) == [60, 61, 62]
    firsts = {(p.at.topic_id, p.at.partition, p.at.offset) for p in first.values()}
    assert len(again) == 3
    assert all((p.first.topic_id, p.first.partition, p.first.offset) in firsts for p in again)
    assert {p.first.received_at for p in again} <= {p.at.received_at for p in first.values()}
    assert not {(p.at.partition, p.at.offset) for p in again} & first.keys()

    # The next run sends what was refused again, with the very first coordinates, and nothing that was admitted.
    replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC))
    sent = [m for m in read(bootstrap, READINGS) if m.key() in (mine.encode(), other.encode())]
    assert Counter(m.key().decode() for m in sent) == {mine: 6, other: 9}
    origins = {(o.topic_id, o.partition, o.offset) for m in sent if (o := origin_of(m.headers()))}
    assert origins == firsts


def test_a_packet_keeps_the_account_that_synced_it(bootstrap):
    device = f"watch-{uuid.uuid4().hex}"
    refuse(bootstrap, [packet(device)], accounts=["nobody-yet"])
    assert replay(bootstrap, "unknown_account", transactions=True, now=NOW).sent >= 1
    (sent,) = (m for m in read(bootstrap, READINGS) if m.key() == device.encode())
    assert dict(sent.headers())["account"] == b"nobody-yet"


def test_what_cannot_be_sent_again_is_counted_and_said(bootstrap):
    shared, mine = f"bed-{uuid.uuid4().hex}", f"watch-{uuid.uuid4().hex}"
    no = Person(SUBJECT, "org", consented=False, consent_sequence=1)
    values = [packet(shared)]  # unassigned now, but once somebody's who has not consented: the door withholds it
    refuse(bootstrap, values, devices=[shared], belongings=[Belonging(shared, SUBJECT, 0, 1)], persons=[no])
    big = json.dumps({"device_id": mine, "x": "y" * 70_000}).encode()
    refuse(bootstrap, [big])
    assert replay(bootstrap, "unassigned", transactions=True, now=NOW).left["withheld"] >= 1
    assert replay(bootstrap, "too_large", transactions=True, now=NOW).left["truncated"] >= 1
    assert not [m for m in read(bootstrap, READINGS) if m.key() in (shared.encode(), mine.encode())]

    old = f"watch-{uuid.uuid4().hex}"
    refuse(bootstrap, [packet(old)], devices=[old])
    later = datetime.now(UTC) + timedelta(days=8)
    assert replay(bootstrap, "unassigned", transactions=True, now=later).left["older than seven days"] >= 1
    assert not [m for m in read(bootstrap, READINGS) if m.key() == old.encode()]


def test_nothing_is_kept_of_those_who_have_not_consented(bootstrap):
    with pytest.raises(ValueError, match="Choose one of: empty"):
        replay(bootstrap, "no_consent", transactions=True, now=NOW)
    assert "no_consent" not in REASONS


def run_until(bootstrap, place, turn):
    """A run, in a process of its own, that is killed as it passes a place for the n-th time."""
    passages = 0

    def passing(at):
        nonlocal passages
        passages += at == place
        if passages == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC), passing=passing)


def test_killed_anywhere_each_packet_is_sent_once(bootstrap):
    devices = []
    for place in PLACES:
        device = f"{place}-{uuid.uuid4().hex}"
        devices.append(device)
        refuse(bootstrap, [packet(device, minute) for minute in range(1200)], devices=[device])
        turn = 1 if place == "after_fence" else 2  # the second of several transactions
        assert Forked(run_until, (bootstrap, place, turn)).wait() == -signal.SIGKILL
    replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC))
    assert replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC)).sent == 0
    values = Counter(m.value() for m in read(bootstrap, READINGS) if m.key() and m.key().decode() in devices)
    assert set(values.values()) == {1}
    assert len(values) == 1200 * len(PLACES)


@pytest.mark.parametrize("topic_id", ["aB-_9", "/CgizrdhRF+2NKyt+yBRUw", "a/b//c/"])
def test_an_origin_survives_its_header(topic_id):
    origin = Origin(topic_id, 3, 12, NOW)
    assert origin_of([("account", b"a"), ("origin", origin.to_header())]) == origin
    assert origin_of([("origin", b"\xff")]) is None
    assert origin_of([("origin", b"a/b/c/d")]) is None
    assert origin_of(None) is None
