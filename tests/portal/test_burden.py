"""Alarm burden: alerts per patient-day, answered, acted on, useful, time to the first answer; by rule and model."""

from datetime import timedelta

import pytest
from django.db import transaction

from portal.alerts.answers import Responded, alert_acknowledge, alert_close
from portal.alerts.burden import burden_of, patient_days
from portal.alerts.models import Alert, Response
from portal.alerts.services import transitions_apply
from portal.monitoring.services import plan_pause, plan_resume
from portal.people.models import Patient
from tests.portal.conftest import NOW, hypoxia

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def raise_alert(cast, cause, now=NOW):
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient, cause=cause, at=now)], now=now)
    return Alert.objects.latest("pk")


def test_figures_by_rule(cast):
    first, second = raise_alert(cast, "news2"), raise_alert(cast, "limit:spo2:low")
    raise_alert(cast, "silence:spo2")
    alert_acknowledge(user=cast.bob, alert=first, note="", now=NOW + 4 * MINUTE)
    did = Responded("called, oxygen up", called="patient", reached=True, outcome=Response.Outcome.ADVICE)
    alert_close(user=cast.bob, alert=first, response=did, now=NOW + 9 * MINUTE)
    nothing = Responded("watch was loose", useful=False)
    alert_close(user=cast.bob, alert=second, response=nothing, now=NOW + 8 * MINUTE)
    days, rows = burden_of(cast.bob, NOW - DAY, NOW + DAY)
    assert days == 2  # the plan began a day ago
    assert [(r.label, r.alerts) for r in rows] == [("All rules", 3), ("NEWS2", 1), ("No data", 1), ("Plan limits", 1)]
    everything = rows[0]
    assert everything.per_patient_day == 1.5
    assert everything.answered == pytest.approx(2 / 3)
    assert (everything.acted_on, everything.useful, everything.to_acknowledge) == (0.5, 0.5, 6 * MINUTE)
    assert burden_of(cast.charlie, NOW - DAY, NOW + DAY)[1][0].alerts == 0


def test_a_pause_is_not_watching(cast):
    plan_pause(patient=cast.patient, reason="in hospital", until=None, author=cast.bob, now=NOW)
    plan_resume(patient=cast.patient, author=cast.bob, now=NOW + DAY)
    assert patient_days(Patient.objects.filter(pk=cast.patient.pk), NOW - DAY, NOW + 2 * DAY) == 2


def test_the_page_is_for_clinicians(cast):
    raise_alert(cast, "news2")
    assert "NEWS2" in cast.client("bob").get("/burden/?days=7").content.decode()
    assert "NEWS2" not in cast.client("charlie").get("/burden/").content.decode()
    assert cast.client("alice").get("/burden/").status_code == 403
