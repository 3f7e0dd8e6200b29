"""Silence: a vital that does not come is told from a pipeline that is late."""

from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from django.db import transaction

from analytics.episodes import Step
from portal.alerts.models import Alert
from portal.alerts.services import transitions_apply
from portal.alerts.silence import silent_transitions
from portal.alerts.tasks import silence
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.devices.services import device_return
from portal.monitoring.models import Plan
from portal.monitoring.services import draft_of, plan_pause, plan_resume, plan_write
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


def test_the_next_vital_to_fall_silent_is_told_by_itself(heard, settings):
    later = NOW + 10 * MINUTE
    measure(heard, later, "heart_rate")
    reached(later, settings)
    look(later)
    later += 10 * MINUTE
    reached(later, settings)
    assert look(later) == [(Step.OPENED, "silence:heart_rate")]


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


def test_a_dead_watch_is_one_alert_though_the_scale_is_not_due_for_days(heard, settings):
    change_plan(heard, NOW, vitals={"heart_rate": 5, "spo2": 5, "weight": 1440})
    measure(heard, NOW, "weight")
    later = NOW + 10 * MINUTE
    reached(later, settings)
    assert look(later) == [(Step.OPENED, "silence:all")]
    measure(heard, later, "weight")
    assert look(later) == [
        (Step.ENDED, "silence:all"),
        (Step.OPENED, "silence:heart_rate"),
        (Step.OPENED, "silence:spo2"),
    ]
    much_later = later + 10 * MINUTE  # and the two that are told already are not told again as one
    reached(much_later, settings)
    assert look(much_later) == []


def test_an_emptied_redis_ends_no_silence(heard, empty_redis, settings):
    later = NOW + 10 * MINUTE
    reached(later, settings)
    look(later)
    empty_redis.flushdb()
    reached(later, settings)
    assert look(later) == []
    measure(heard, later, "heart_rate", "spo2")
    assert look(later) == [(Step.ENDED, "silence:all")]


def test_after_a_pause_a_vital_has_its_whole_time(heard, settings):
    plan_pause(patient=heard.patient, reason="in hospital", until=None, author=heard.bob, now=NOW)
    home = NOW + timedelta(days=3)
    plan_resume(patient=heard.patient, author=heard.bob, now=home)
    reached(home + 7 * MINUTE, settings)
    assert look(home + 7 * MINUTE) == []
    reached(home + 8 * MINUTE, settings)
    assert look(home + 8 * MINUTE) == [(Step.OPENED, "silence:all")]


def test_a_vital_that_was_added_has_its_whole_time_and_the_others_keep_theirs(heard, settings):
    change_plan(heard, NOW + 6 * MINUTE, vitals={"heart_rate": 5, "spo2": 5, "temperature": 5})
    later = NOW + 8 * MINUTE
    measure(heard, later, "heart_rate")
    reached(later, settings)
    assert look(later) == [(Step.OPENED, "silence:spo2")]
    change_plan(heard, later, vitals={"heart_rate": 5, "temperature": 5})  # what is not expected is not silent
    assert look(later) == [(Step.ENDED, "silence:spo2")]


def test_who_withdrew_consent_or_has_no_device_is_not_silent(heard, settings):
    later = NOW + 30 * MINUTE
    reached(later, settings)
    consent_record(patient=heard.patient, purpose=Purpose.CARE, given=False, by=heard.alice, now=NOW)
    assert look(later) == []
    consent_record(patient=heard.patient, purpose=Purpose.CARE, given=True, by=heard.alice, now=later)
    assert look(later) == []
    device_return(assignment=heard.device.assignments.get(), now=later)
    reached(later + 30 * MINUTE, settings)
    assert look(later + 30 * MINUTE) == []


def test_the_task_puts_the_alert_on_the_record(heard, settings):
    later = NOW + 10 * MINUTE
    reached(later, settings)
    with time_machine.travel(later, tick=False):
        silence()
    episode = Alert.objects.get().episode
    assert (episode.cause, episode.began_at) == ("silence:all", NOW + 5 * MINUTE)
    assert episode.evidence["last_measured_at"] == NOW.isoformat().replace("+00:00", "Z")


def change_plan(heard, at, **changes):
    plan = Plan.objects.get(patient=heard.patient, in_force_to__isnull=True)
    plan_write(patient=heard.patient, draft=replace(draft_of(plan), **changes), author=heard.bob, now=at)
