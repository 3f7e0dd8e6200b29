"""The watcher in this process, on a real Kafka: what must not happen when something goes wrong at the wrong moment.

`tests.faults.test_watchers` has the same on whole processes.
"""

import os
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow as pa
import pytest
import redis
from asgiref.sync import sync_to_async
from confluent_kafka import KafkaException, Producer, TopicPartition
from django.conf import settings
from django.db import OperationalError

import ingestion.ends
import portal.pipeline.checkpoint
import portal.pipeline.latest
import portal.pipeline.watch
import portal.settings
from ingestion.door import partition_of
from ingestion.kafka import ADMITTED, to_messages
from ingestion.lake import READING_SCHEMA
from portal.alerts import consumers
from portal.alerts.models import Alert
from portal.monitoring.services import plan_pause
from portal.pipeline.latest import progress_read, progress_write
from portal.pipeline.models import WatchPosition
from portal.pipeline.watch import OwnerChanged, TopicMadeAnew, Watch
from tests.faults.surroundings import topics_make_anew
from tests.portal.conftest import make_cast
from tests.portal.test_live import FOREVER_S, layer_at, make_page, members, said, until

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
]
BOOTSTRAP = settings.KAFKA_BOOTSTRAP_SERVERS


@pytest.fixture
def cast(empty_redis):
    topics_make_anew(BOOTSTRAP)
    return make_cast()


@pytest.fixture
def group():
    return f"watch-{uuid.uuid4()}"


@pytest.fixture
def watch(group):
    """A function that makes a watcher of one group; those that nobody ran to their end leave it at last."""
    made = []

    def make():
        made.append(Watch(BOOTSTRAP, owner=uuid.uuid4().hex, group=group))
        return made[-1]

    yield make
    for each in made:
        each._partitions.clear()
        each._consumer.close()


def readings(patient, *ago_s, ahead_s=0, **vitals):
    """Arrow messages, one reading each, measured so many seconds ago; without vitals those of an alert.

    `ahead_s`: how far the broker's clock, which says when they were received, is ahead of ours.
    """
    now = datetime.now(UTC)
    for ago in ago_s:
        row = {
            "organisation": patient.organisation.key,
            "subject": patient.subject,
            "measured_at": now - timedelta(seconds=ago),
            "offset_minutes": 0,
            "received_at": now + timedelta(seconds=ahead_s),
            "device_id": "watch-alice",
            "record_id": str(ago),
            "consent_sequence": 1,
            "source_topic": "t",
            "source_partition": 0,
            "source_offset": 0,
            **(vitals or {"spo2": 88.0}),
        }
        yield from to_messages(pa.RecordBatch.from_pylist([row], READING_SCHEMA))


def send(patient, *messages, **config):
    """Send these to the patient's partition; with `transactional` in one committed transaction."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **config})
    transactional = "transactional.id" in config
    if transactional:
        producer.init_transactions()
        producer.begin_transaction()
    for message in messages:
        producer.produce(ADMITTED, message, partition=partition_of(patient.subject, settings.ADMITTED_PARTITIONS))
    if transactional:
        producer.commit_transaction()
    assert producer.flush(30) == 0


def run(watcher, until, seconds=30):
    """Run it as the command does, until this is true."""
    deadline = time.monotonic() + seconds

    def stop():
        assert time.monotonic() < deadline, "it did not come to that"
        return until()

    watcher.run(stop)


def decided(patient):
    """The database's position in the patient's partition."""
    partition = partition_of(patient.subject, settings.ADMITTED_PARTITIONS)
    return WatchPosition.objects.filter(partition=partition).values_list("position", flat=True).first() or 0


def failing_once(function, error):
    calls = []

    def fails(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return function(*args, **kwargs)

    return fails


def test_an_error_while_deciding_leaves_the_decision_to_the_next_watcher(cast, watch, monkeypatch):
    """Leaving the group revokes the partitions, and what is revoked is settled: but not what was never decided."""
    send(cast.patient, *readings(cast.patient, 60, 10))
    apply = failing_once(portal.pipeline.watch.transitions_apply, OperationalError("the server closed the connection"))
    monkeypatch.setattr(portal.pipeline.watch, "transitions_apply", apply)
    with pytest.raises(OperationalError):
        run(watch(), lambda: False)
    assert (decided(cast.patient), Alert.objects.count()) == (0, 0)
    run(watch(), Alert.objects.exists)
    assert decided(cast.patient) == 2


async def test_an_open_page_hears_of_an_alert_by_the_hint_alone(cast, watch, empty_redis, monkeypatch):
    """Its own look, which comes too late for the promised second, is put off."""
    monkeypatch.setattr(consumers, "POLL_S", FOREVER_S)
    with layer_at(settings.REDIS_URL):
        async with await make_page(cast, "bob") as bob:
            await until(lambda: members(empty_redis, cast) == 1)
            await sync_to_async(send)(cast.patient, *readings(cast.patient, 60, 10))
            await sync_to_async(run)(watch(), Alert.objects.exists)
            assert said(await bob.hear(1)) == [("alert", "opened", cast.patient.pk)]


def test_whoever_lost_a_partition_decides_nothing_and_ends(cast, watch):
    first = watch()
    send(cast.patient, *readings(cast.patient, 60))
    while decided(cast.patient) < 1:
        first.step()
    WatchPosition.objects.update(owner="another")  # as one does that has taken over while this one was frozen
    send(cast.patient, *readings(cast.patient, 10))
    with pytest.raises(OwnerChanged):
        run(first, lambda: False)
    assert (decided(cast.patient), Alert.objects.count()) == (1, 0)
    run(watch(), Alert.objects.exists)


def test_what_comes_for_a_partition_that_has_just_gone_is_left_to_its_new_watcher(cast, watch):
    first = watch()
    while not first._partitions:
        first.step()
    send(cast.patient, *readings(cast.patient, 60, 10))
    partition = partition_of(cast.patient.subject, settings.ADMITTED_PARTITIONS)
    consumer, revoked = first._consumer, []

    class Revoking:
        """Revokes the partition in the very call that also returns its messages."""

        def __getattr__(self, name):
            return getattr(consumer, name)

        def consume(self, *args):
            messages = consumer.consume(*args)
            if messages and not revoked:
                revoked.append(partition)
                first._revoked(consumer, [TopicPartition(ADMITTED, partition)])
            return messages

    first._consumer = Revoking()
    while not revoked:
        first.step()
    assert (decided(cast.patient), Alert.objects.count()) == (0, 0)


def test_a_message_that_is_not_arrow_is_left_out_and_the_others_are_scored(cast, watch, caplog):
    first, second = readings(cast.patient, 60, 10)
    send(cast.patient, first, b"{}", None, b"", first[:100], second)
    run(watch(), Alert.objects.exists)
    assert decided(cast.patient) == 6
    left_out = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(left_out) == 4
    assert all(message.startswith("vitals.admitted") for message in left_out)


def test_arrow_of_another_version_ends_the_watcher_instead_of_being_left_out(cast, watch):
    other = pa.BufferOutputStream()
    table = pa.table({"subject": [cast.patient.subject], "pulse": [40]})
    with pa.ipc.new_stream(other, table.schema) as writer:
        writer.write_table(table)
    send(cast.patient, other.getvalue().to_pybytes())
    with pytest.raises(pa.ArrowInvalid):
        run(watch(), lambda: False)
    assert decided(cast.patient) == 0


def test_the_mark_at_the_end_of_a_transaction_is_passed(cast, watch, monkeypatch):
    """Without that the board would say "delayed" whenever nobody in a partition sends anything more."""
    monkeypatch.setattr(ingestion.ends, "ASK_EVERY", timedelta(0))
    progress_write("door", {p: datetime.now(UTC) + timedelta(hours=1) for p in range(settings.READINGS_PARTITIONS)})
    watcher = watch()
    while not watcher._partitions:
        watcher.step()
    for n in range(5):  # messages and the end may come in one answer or in two
        send(cast.patient, *readings(cast.patient, 60 - n), **{"transactional.id": f"test-{uuid.uuid4()}"})
        sent = datetime.now(UTC)
        run_until = time.monotonic() + 10
        while (progress_read() or sent) <= sent:
            assert time.monotonic() < run_until
            watcher.step()


def test_a_database_restored_from_a_backup_decides_again_what_it_has_forgotten(cast, watch):
    send(cast.patient, *readings(cast.patient, 60, 10))
    run(watch(), Alert.objects.exists)
    Alert.objects.all().delete()
    cast.patient.episodes.all().delete()
    WatchPosition.objects.update(position=0)  # and the checkpoint is ahead of it
    run(watch(), Alert.objects.exists)
    assert decided(cast.patient) == 2


def test_an_alert_that_the_database_does_not_take_is_raised_with_the_next_reading(cast, watch):
    """The broker's clock may be ahead of ours: to the one the pause is over, to the other not yet."""
    now = datetime.now(UTC)
    plan_pause(patient=cast.patient, reason="in hospital", until=now + timedelta(seconds=5), author=cast.bob, now=now)
    send(cast.patient, *readings(cast.patient, 60, 10, ahead_s=5))
    watcher = watch()
    while decided(cast.patient) < 2:
        watcher.step()
    assert not Alert.objects.exists()
    time.sleep(max(0.0, 5 - (datetime.now(UTC) - now).total_seconds()))
    send(cast.patient, *readings(cast.patient, 0, ahead_s=5))
    run(watcher, Alert.objects.exists)


def test_the_locks_of_a_process_that_froze_inside_a_transaction_are_not_held_for_ever():
    """`python -m tests.faults.watchers` freezes a watcher there: nobody else could take its partitions over."""
    options = portal.settings.DATABASES["default"]["OPTIONS"]["options"]
    with psycopg.connect(os.environ["TEST_DATABASE_URL"], options=options) as session:
        assert session.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("10s",)


def test_a_topic_made_anew_is_watched_from_its_beginning(cast, watch, monkeypatch):
    monkeypatch.setattr(portal.pipeline.watch, "TOPIC_LOOK_S", 0.1)
    send(cast.patient, *readings(cast.patient, 3, 2, 1, spo2=97.0))
    first = watch()
    while decided(cast.patient) < 3:
        first.step()
    topics_make_anew(BOOTSTRAP)
    send(cast.patient, *readings(cast.patient, 60, 50, 40, 30))
    with suppress(TopicMadeAnew, KafkaException):  # the client itself may notice or not
        run(first, Alert.objects.exists)
    run(watch(), Alert.objects.exists)


def test_without_redis_alerts_are_raised_all_the_same(cast, watch, monkeypatch):
    nobody = redis.Redis.from_url("redis://127.0.0.1:1/0", decode_responses=True)
    monkeypatch.setattr(portal.pipeline.checkpoint, "connection", lambda: nobody)
    monkeypatch.setattr(portal.pipeline.latest, "connection", lambda: nobody)
    send(cast.patient, *readings(cast.patient, 60, 10))
    run(watch(), Alert.objects.exists)
    assert decided(cast.patient) == 2
