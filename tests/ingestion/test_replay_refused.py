"""Refused packets go back through the door, on a real Apache Kafka: each once, whatever kills the run."""

import json
import os
import signal
import subprocess
import sys
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
from tests.ingestion.packets import NOW, packet, read, refuse, send

pytestmark = pytest.mark.kafka
SUBJECT = "5" * 32
PLACES = ("after_fence", "after_produce", "after_flush", "after_offsets", "after_commit")


@pytest.fixture(scope="module")
def bootstrap():
    address = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]
    topics_create(address, readings=4, admitted=4)
    return address


class Door:
    """A door with a group of its own that looks only at what comes from now on."""

    def __init__(self, bootstrap, known):
        self.known = known
        self._door = Doorway(
            bootstrap,
            name="t",
            transactions=True,
            admitted_partitions=4,
            known=lambda now: (self.known, now),
            progress=lambda passed: None,
            group=f"door-{uuid.uuid4().hex}",
        )

    def until_idle(self):
        idle = 0
        until = time.monotonic() + 60
        while idle < 20 and time.monotonic() < until:
            idle = 0 if self._door.step() else idle + bool(self._door._consumer.assignment())

    def close(self):
        self._door._consumer.close()


def test_a_mended_cause_and_a_replay_bring_the_readings_in(bootstrap):
    mine, other = f"watch-{uuid.uuid4().hex}", f"watch-{uuid.uuid4().hex}"
    send(bootstrap, READINGS, [{"value": packet(d, m), "key": d.encode()} for d in (mine, other) for m in range(3)])
    person = Person(SUBJECT, "org", consented=True, consent_sequence=1)
    door = Door(bootstrap, directory([mine, other], [], [person]))
    try:
        door.until_idle()
        first = {(p.at.partition, p.at.offset): p for p in refused(bootstrap) if p.device_id in (mine, other)}
        assert {p.reason for p in first.values()} == {"unassigned"}
        assert len(first) == 6

        door.known = directory([mine, other], [Belonging(mine, SUBJECT, 0)], [person])
        replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC))
        door.until_idle()
    finally:
        door.close()

    rows = from_messages(m.value() for m in read(bootstrap, ADMITTED)).filter(pc.field("device_id") == mine)
    assert sorted(rows["heart_rate"].to_pylist()) == [60, 61, 62]
    firsts = {(p.at.topic_id, p.at.partition, p.at.offset) for p in first.values()}
    again = [p for p in refused(bootstrap) if p.device_id == other and p.origin]
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


RUN = """
import os, signal, sys
from datetime import UTC, datetime
from ingestion.replay import replay

passages = 0
bootstrap, place, turn = sys.argv[1:]

def passing(at):
    global passages
    passages += at == place
    if passages == int(turn):
        os.kill(os.getpid(), signal.SIGKILL)

replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC), passing=passing)
"""


def killed(bootstrap, place, turn):
    """A run that is killed as it passes this place for the n-th time; its exit code."""
    return subprocess.run([sys.executable, "-c", RUN, bootstrap, place, str(turn)], check=False, timeout=120).returncode


def test_killed_anywhere_each_packet_is_sent_once(bootstrap):
    devices = []
    for place in PLACES:
        device = f"{place}-{uuid.uuid4().hex}"
        devices.append(device)
        refuse(bootstrap, [packet(device, minute) for minute in range(1200)], devices=[device])
        turn = 1 if place == "after_fence" else 2  # the second of several transactions
        assert killed(bootstrap, place, turn) == -signal.SIGKILL
    replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC))
    assert replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC)).sent == 0
    values = Counter(m.value() for m in read(bootstrap, READINGS) if m.key() and m.key().decode() in devices)
    assert set(values.values()) == {1}
    assert len(values) == 1200 * len(PLACES)


def test_an_origin_survives_its_header():
    origin = Origin("aB-_9", 3, 12, NOW)
    assert origin_of([("account", b"a"), ("origin", origin.to_header())]) == origin
    assert origin_of([("origin", b"\xff")]) is None
    assert origin_of([("origin", b"a/b/c/d")]) is None
    assert origin_of(None) is None
