"""Silence: a vital that does not come is told from a pipeline that is late."""

from datetime import timedelta

import pytest
from django.db import transaction

from analytics.episodes import Step
from portal.alerts.models import Alert
from portal.alerts.services import transitions_apply
from portal.alerts.silence import silent_transitions
from portal.monitoring.services import plan_pause
from portal.pipeline.latest import Latest, latest_write, progress_write
from tests.portal.conftest import NOW

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("empty_redis")]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def heard(cast, empty_redis):
    """Everything was fresh at NOW, and the pipeline has been there for long."""
    empty_redis.set("latest:since", (NOW - timedelta(days=1)).timestamp())
    measure(cast, NOW, "heart_rate", "spo2")
    return cast


def measure(cast, at, *vitals):
    latest_write((cast.patient.subject, vital, Latest(70.0, at, "watch-alice")) for vital in vitals)


def reached(at, settings):
    progress_write("door", dict.fromkeys(range(settings.READINGS_PARTITIONS), at))
    progress_write("watcher", dict.fromkeys(range(settings.ADMITTED_PARTITIONS), at))


def look(now):
    transitions = silent_transitions(now)
    with transaction.atomic():
        transitions_apply(transitions, now=now)
    return [(t.step, t.cause) for t in transitions]


def test_one_vital_that_stays_away_is_silent_and_ends_when_it_comes(heard, settings):
    later = NOW + 10 * MINUTE
    measure(heard, later, "heart_rate")
    reached(later, settings)
    assert look(later) == [(Step.OPENED, "silence:spo2")]
    assert look(later) == []
    measure(heard, later, "spo2")
    assert look(later) == [(Step.ENDED, "silence:spo2")]
    assert Alert.objects.get().episode.ended_at


def test_everything_away_is_one_alert(heard, settings):
    later = NOW + 10 * MINUTE
    reached(later, settings)
    assert look(later) == [(Step.OPENED, "silence:all")]


def test_within_its_time_nothing_is_silent(heard, settings):
    reached(NOW + 7 * MINUTE, settings)
    assert look(NOW + 7 * MINUTE) == []


def test_a_late_pipeline_is_not_a_silent_patient(heard, settings):
    later = NOW + 30 * MINUTE
    assert look(later) == []  # nothing is known of the pipeline
    reached(NOW, settings)
    assert look(later) == []  # it is half an hour late
    progress_write("watcher", {0: NOW + MINUTE})
    progress_write("door", dict.fromkeys(range(settings.READINGS_PARTITIONS), later))
    assert look(later) == []  # one partition of one part is


def test_a_pause_silences_silence(heard, settings):
    plan_pause(patient=heard.patient, reason="on holiday", until=None, author=heard.bob, now=NOW)
    later = NOW + 30 * MINUTE
    reached(later, settings)
    assert look(later) == []


def test_an_emptied_redis_is_not_a_silent_ward(heard, empty_redis, settings):
    later = NOW + 30 * MINUTE
    empty_redis.flushdb()
    reached(later, settings)
    assert look(later) == []


def test_an_empty_bed_is_not_silent_and_does_not_hide_a_silent_watch(heard, settings):
    later = NOW + 10 * MINUTE
    subject = heard.patient.subject
    latest_write([(subject, "heart_rate", Latest(70.0, NOW + MINUTE, "bed"))])
    latest_write([(subject, "presence", Latest(0.0, later - MINUTE, "bed"))])
    reached(later, settings)
    assert look(later) == [(Step.OPENED, "silence:spo2")]
