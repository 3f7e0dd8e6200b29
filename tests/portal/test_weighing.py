"""Weight gain in heart failure: told where the plan asks for it, to those who may know, and over when it is gone."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.urls import reverse

from portal.alerts.models import Alert, Episode
from portal.alerts.services import transitions_apply
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.monitoring.models import Plan
from portal.monitoring.services import Draft, plan_pause, plan_write
from portal.monitoring.weighing import weight_transitions
from portal.people.models import Patient
from tests.analytics.readings import NOON, reading
from tests.ingestion.lakes import add
from tests.portal.conftest import NOW, YESTERDAY
from tests.portal.test_care import plan_form

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def lake(settings, tmp_path):
    settings.LAKE_URL = str(tmp_path / "lake")
    return settings.LAKE_URL


def asked(cast, **changes):
    """A plan in force that asks for weight gain."""
    draft = Draft(
        reason="Heart failure",
        starts_at=YESTERDAY,
        vitals={"weight": 1440},
        responders=[(cast.bob, 30)],
        **({"weight_gain": True} | changes),
    )
    return plan_write(patient=cast.patient, draft=draft, author=cast.bob, now=YESTERDAY)


def weigh(cast, lake, *kilograms, until=NOW):
    """One weight a day, the last one an hour before `until`."""
    rows = []
    for days, weight in enumerate(reversed(kilograms)):
        at = until - timedelta(hours=1) - days * DAY
        row = reading((at - NOON).total_seconds(), cast.patient.subject, device="scales", weight=weight)
        rows.append(row | {"organisation": cast.organisation.key})
    add(lake, rows[::-1])


def look(now=NOW):
    """What the hourly task does."""
    with transaction.atomic():
        transitions_apply(list(weight_transitions(Patient.objects.all(), now)), now=now)


def test_a_gain_is_told_once_with_its_reason_and_ends_when_it_is_gone(cast, lake):
    asked(cast)
    weigh(cast, lake, 80.0, 80.4, 82.6)
    look()
    look()
    alert = Alert.objects.get()
    page = reverse("alert", args=[alert.pk])
    shown = cast.client("bob").get(page).content.decode()
    for text in ("Weight gain", "Weight 82.6 kg", "above 82)", "2.6 kg more than the lowest of 3 days", "scales"):
        assert text in shown, text
    assert "weight is outside the range" in cast.client("alice").get(page).content.decode()
    assert cast.client("charlie").get(page).status_code == 404
    weigh(cast, lake, 81.1, until=NOW + DAY)
    look(NOW + DAY)
    assert Episode.objects.get().ended_at == NOW + DAY - timedelta(hours=1)


def test_a_slow_gain_and_old_weights_are_not_told(cast, lake):
    asked(cast)
    weigh(cast, lake, 80.0, 80.6, 81.2, 81.8, 82.4)
    look()
    weigh(cast, lake, 80.0, 90.0, 90.1, until=NOW - 5 * DAY)
    look()
    assert not Episode.objects.exists()


def test_nothing_is_told_where_the_plan_is_silent_or_paused_or_care_is_not_agreed_to(cast, lake):
    weigh(cast, lake, 80.0, 83.0, 83.1)
    asked(cast, weight_gain=False)
    look()
    asked(cast)
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=False, by=cast.alice, now=NOW)
    look()
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=True, by=cast.alice, now=NOW)
    plan_pause(patient=cast.patient, reason="in hospital", until=None, author=cast.bob, now=NOW)
    look(NOW + timedelta(seconds=1))
    assert not Episode.objects.exists()


def test_it_ends_when_a_new_plan_does_not_ask_any_more(cast, lake):
    asked(cast)
    weigh(cast, lake, 80.0, 83.0, 83.1)
    look()
    assert Episode.objects.get().ended_at is None
    asked(cast, weight_gain=False)
    look()
    assert Episode.objects.get().ended_at == NOW


def test_the_form_asks_for_weights_and_the_plan_says_that_it_is_watched(cast):
    page = reverse("plan", args=[cast.patient.pk])
    answer = cast.client("bob").post(page, plan_form(cast) | {"weight_gain": "on"})
    assert answer.status_code == 422
    assert "say how often it is due" in answer.content.decode()
    answer = cast.client("bob").post(page, plan_form(cast) | {"weight_gain": "on", "due_weight": 1440})
    assert answer.status_code == 302
    assert Plan.objects.get(in_force_to__isnull=True).weight_gain
    assert "rises by more than 2 kg" in cast.client("alice").get(page).content.decode()
