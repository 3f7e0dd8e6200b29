"""The personal layer in the watcher, on a real Kafka: alerts, tags, promotions, and the same after a crash."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from django.conf import settings
from django.utils import timezone

from analytics import windows
from analytics.windows import START_EDGES
from ingestion.door import partition_of
from ingestion.kafka import to_messages
from ingestion.lake import READING_SCHEMA
from portal.alerts.models import Alert, Episode
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.personal.context import tag_add, tag_end
from portal.personal.live import forget_files
from portal.personal.models import Activation, KeptBack
from portal.personal.versions import version_activate
from portal.pipeline.models import WatchPosition
from tests.portal.conftest import YESTERDAY
from tests.portal.personal_models import NOISE, USUAL, made
from tests.portal.test_watch import cast, decided, group, pytestmark, run, send, watch

__all__ = ["cast", "group", "pytestmark", "watch"]  # fixtures and marks of the watcher's tests

NAMES = ("heart_rate", "respiratory_rate", "spo2", "skin_temperature")
HOURS = 9


@pytest.fixture
def known(cast, settings, tmp_path):
    """Alice, with consent and a model in force since yesterday."""
    settings.MODELS_URL = str(tmp_path)
    forget_files()
    consent_record(patient=cast.patient, purpose=Purpose.PERSONAL_MODEL, given=True, by=cast.alice, now=YESTERDAY)
    version_activate(version=made(cast, "v1"), why="test", now=YESTERDAY)
    return cast


def ill(patient, hours=HOURS):
    """Messages of five minutes each: two calm hours, then a heart that beats faster than it usually does."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=HOURS)
    draw = np.random.default_rng(5)
    for i in range(hours * 12):
        at = begin + timedelta(minutes=5 * i)
        values = draw.normal(USUAL, NOISE) + np.array([38 if i > 24 else 0, 0, 0, 0])
        row = {
            "organisation": patient.organisation.key,
            "subject": patient.subject,
            "measured_at": at,
            "offset_minutes": 0,
            "received_at": at + timedelta(seconds=1),
            "device_id": "watch-alice",
            "record_id": str(i),
            "consent_sequence": 1,
            "source_topic": "t",
            "source_partition": 0,
            "source_offset": i,
            "steps": 0.0,
            **dict(zip(NAMES, map(float, values), strict=True)),
        }
        yield from to_messages(pa.RecordBatch.from_pylist([row], READING_SCHEMA))


def told():
    return sorted(Episode.objects.values_list("cause", "began_at", "ended_at"))


def test_a_personal_alert_is_raised_once_with_its_evidence_and_a_restart_or_a_crash_changes_nothing(
    known, watch, empty_redis
):
    messages = list(ill(known.patient))
    send(known.patient, *messages[:40])
    killed = watch()
    while decided(known.patient) < 40:
        killed.step()
    killed._partitions.clear()  # as if killed: the ward's windows are in Redis, the personal ones are not yet
    killed._consumer.close()
    send(known.patient, *messages[40:])
    run(watch(), lambda: decided(known.patient) == len(messages))
    once = told()
    episode = Episode.objects.get(cause="personal:heart_rate:high")
    assert episode.evidence["model"] == "v1"
    assert episode.evidence["values"]["heart_rate"]["device_id"] == "watch-alice"
    assert Alert.objects.filter(episode=episode).count() == 1
    assert not Episode.objects.exclude(cause__startswith="personal:").exists()

    Episode.objects.all().delete()  # a database restored from a backup, and an emptied Redis: all is decided again
    partition = partition_of(known.patient.subject, settings.ADMITTED_PARTITIONS)
    WatchPosition.objects.filter(partition=partition).update(position=0)
    empty_redis.flushdb()
    run(watch(), lambda: decided(known.patient) == len(messages))
    assert told() == once


def test_a_tag_holds_it_back_until_it_is_over_and_says_so_on_the_record(known, watch):
    now = timezone.now()
    tag = tag_add(
        patient=known.patient,
        kind="ill",
        since=now - timedelta(days=1),
        until=now + timedelta(days=1),
        note="",
        by=known.alice,
        now=now,
    )
    messages = list(ill(known.patient))
    send(known.patient, *messages[:-6])
    run(watch(), lambda: decided(known.patient) == len(messages) - 6)
    assert not Alert.objects.exists()
    assert KeptBack.objects.get(cause="personal:heart_rate:high").tag == "ill"
    tag_end(tag=tag, by=known.alice, now=now - timedelta(hours=2))
    send(known.patient, *messages[-6:])
    run(watch(), Alert.objects.exists)


def test_a_version_that_is_promoted_while_the_watcher_runs_is_used_without_a_restart(known, watch, monkeypatch):
    monkeypatch.setattr("portal.personal.live.LOOK_EVERY_S", 0)
    deaf = windows.Edges(START_EDGES.single * 100, START_EDGES.together * 100)
    version_activate(version=made(known, "v0", deaf), why="test", now=YESTERDAY + timedelta(minutes=5))
    messages = list(ill(known.patient))
    send(known.patient, *messages[:-12])
    watcher = watch()
    while decided(known.patient) < len(messages) - 12:
        watcher.step()
    assert not Alert.objects.exists()
    version_activate(version=made(known, "v2"), why="test", now=timezone.now() - timedelta(hours=3))
    Activation.objects.filter(version__name="v2").update(since=timezone.now() - timedelta(minutes=59))
    send(known.patient, *messages[-12:])
    run(watcher, lambda: Episode.objects.filter(evidence__model="v2").exists())
