"""The watchdog: an alert that does not arrive is noticed, announced once, and so is the recovery."""

import json
from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction

from analytics.episodes import Level
from portal.alerts.mail import messages_deliver
from portal.alerts.models import Alert
from portal.alerts.services import transitions_apply
from portal.people.models import Patient
from portal.watchdog.models import Probe
from portal.watchdog.services import probe_start, probes_check, unproven_since
from tests.portal.conftest import NOW, hypoxia

SECOND, EVERY = timedelta(seconds=1), timedelta(seconds=300)


@pytest.fixture
def sent(db, settings):
    """Where the watchdog's packets go; its patients are there since an hour."""
    settings.WATCHDOG_EVERY_S, settings.OPERATOR_EMAILS = 300, ["ops@test.example"]
    packets = []
    assert probe_start(NOW - timedelta(hours=1), packets.extend) is None  # made now, and not ill before the door knows
    return packets


def alarm(probe, now):
    """What door and watcher do with the probe's packets."""
    patient = Patient.objects.get(pk=probe.patient_id)
    with transaction.atomic():
        transitions_apply([hypoxia(patient, level=Level.HIGH, at=now)], now=now)


def test_a_probe_is_two_bad_readings_of_one_and_calm_ones_of_the_others(sent):
    probe = probe_start(NOW, sent.extend)
    packets = [json.loads(packet) for _, packet in sent]
    ill = [p for p in packets if p["spo2"] == 80]
    assert len(ill) == 2
    assert len({p["device_id"] for p in ill}) == 1
    assert len(packets) == 6  # five people take turns, 25 minutes for one to calm down
    assert probe_start(NOW + 299 * SECOND, sent.extend) is None
    assert probe_start(NOW + EVERY, sent.extend).patient_id != probe.patient_id


def test_an_alert_that_arrives_proves_the_path_and_asks_nobody_again(sent):
    probe = probe_start(NOW, sent.extend)
    alarm(probe, NOW + SECOND)
    messages_deliver(NOW + 2 * SECOND)
    probes_check(NOW + 5 * SECOND)
    probe.refresh_from_db()
    assert (probe.raised_at, probe.delivered_at) == (NOW + SECOND, NOW + 2 * SECOND)
    assert Alert.objects.get().state == "closed"
    assert unproven_since(NOW + 10 * SECOND) is None
    assert unproven_since(NOW + 3 * EVERY) == NOW  # the watchdog itself has died


@pytest.mark.parametrize(("raised", "why"), [(False, "No alert was raised"), (True, "no mail went out")])
def test_failure_and_recovery_are_each_announced_once(sent, raised, why):
    for turn in range(3):
        begun = NOW + turn * EVERY
        probe = probe_start(begun, sent.extend)
        if raised:
            alarm(probe, begun + SECOND)
        probes_check(begun + 61 * SECOND)
    assert [m.subject for m in mail.outbox] == ["Wellrange: alerts do not arrive"]
    assert why in mail.outbox[0].body
    assert unproven_since(NOW + 3 * EVERY) == NOW
    later = NOW + 3 * EVERY
    alarm(probe_start(later, sent.extend), later + SECOND)
    messages_deliver(later + 2 * SECOND)
    probes_check(later + 5 * SECOND)
    assert mail.outbox[-1].subject == "Wellrange: alerts arrive again"
    assert unproven_since(later + 6 * SECOND) is None


def test_a_broker_that_takes_no_packets_is_a_failed_probe(sent):
    def refuse(packets):
        raise OSError("no broker")

    probe = probe_start(NOW, refuse)
    probes_check(NOW + 61 * SECOND)
    probe.refresh_from_db()
    assert probe.failed_at is not None


def test_the_board_says_so(cast, settings):
    settings.WATCHDOG_EVERY_S = 300
    assert "Alerts may not arrive" not in cast.client("bob").get("/board/").content.decode()
    Probe.objects.create(patient=cast.dora, began_at=NOW - timedelta(hours=1), failed_at=NOW)
    assert "Alerts may not arrive" in cast.client("bob").get("/board/").content.decode()


def test_its_people_are_nobody_elses(sent, cast):
    assert not Patient.objects.visible_to(cast.bob).filter(name__startswith="Watchdog").exists()
