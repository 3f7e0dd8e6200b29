"""An alert in words: all that a clinician needs, and nothing that frightens a patient."""

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from analytics.episodes import Level, Step, Transition
from analytics.personal import CAUSES
from portal.alerts.models import Alert
from portal.alerts.services import transitions_apply
from portal.alerts.wording import cause_label, plain_sentence, sentence
from tests.portal.conftest import NOW, hypoxia


@pytest.fixture
def said(cast):
    """Raises an alert and gives it."""

    def raise_alert(transition):
        with transaction.atomic():
            transitions_apply([transition], now=NOW)
        return Alert.objects.get()

    return raise_alert


def limit(patient):
    value = {"value": 172.4, "measured_at": NOW.isoformat(), "device_id": "cuff", "points": None}
    evidence = {"rule": "Plan limit", "limit": 170.0, "direction": "high", "reason": "New medicine"}
    evidence |= {"unconfirmed": True, "values": {"systolic": value}}
    return Transition(patient.subject, "limit:systolic:high", Step.OPENED, Level.MEDIUM, NOW, evidence)


def unusual(patient, cause="personal:together"):
    values = {
        "heart_rate": {"value": 84.2, "usual_low": 58.0, "usual_high": 71.6, "share": 0.7, "direction": "high"},
        "spo2": {"value": 94.0, "usual_low": 95.2, "usual_high": 98.4, "share": 0.25, "direction": "low"},
        "skin_temperature": {"value": 34.0, "usual_low": 33.0, "usual_high": 34.1, "share": 0.05, "direction": "high"},
    }
    values = {vital: {**value, "device_id": "watch-alice"} for vital, value in values.items()}
    evidence = {"rule": "Personal range", "model": "v1", "window": "1 hour", "days": 28, "coverage": 0.92}
    return Transition(patient.subject, cause, Step.OPENED, Level.LOW_MEDIUM, NOW, evidence | {"values": values})


def silence(patient, cause="silence:all", last=None):
    evidence = {"rule": "Plan schedule", "vital": "all", "due_every_minutes": 5, "last_measured_at": last}
    return Transition(patient.subject, cause, Step.OPENED, Level.SILENT, NOW, evidence)


def test_a_score_is_told_with_values_units_times_and_how_partial_it_is(cast, said):
    alert = said(hypoxia(cast.patient))
    with timezone.override("Europe/London"), time_machine.travel(NOW, tick=False):
        clock = timezone.localtime(NOW).strftime("%H:%M")
        assert sentence(alert) == (
            f"NEWS2 5: Oxygen saturation 88 % at {clock}, Heart rate 112 /min at {clock} (partial, 4 of 7 inputs)."
        )


def test_a_value_of_another_day_says_which(cast, said):
    alert = said(hypoxia(cast.patient))
    with time_machine.travel(NOW + timedelta(days=2), tick=False):
        assert f"{NOW.day} {NOW:%b} {NOW:%H:%M}" in sentence(alert)


def test_a_limit_is_told_with_its_edge_its_reason_and_that_it_is_not_confirmed(cast, said):
    text = sentence(said(limit(cast.patient)))
    assert text.startswith("Systolic blood pressure 172 mmHg at ")
    assert text.endswith(" (above 170; one reading, not yet confirmed): New medicine.")


def test_silence_is_told_with_its_last_reading_or_that_there_was_none(cast, said):
    alert = said(silence(cast.patient))
    assert sentence(alert) == "No data: all vitals so far; due every 5 min."
    alert.episode.evidence["last_measured_at"] = NOW.isoformat()
    assert "No data: all vitals since " in sentence(alert)


@pytest.mark.parametrize("make", [hypoxia, limit, silence, unusual])
def test_the_patient_reads_what_happens_next_and_neither_score_nor_number(cast, said, make):
    text = plain_sentence(said(make(cast.patient)))
    assert not any(character.isdigit() for character in text)
    for word in ("NEWS2", "high ", "danger", "urgent", "critical", "emergency", "abnormal", "alarm"):
        assert word.lower() not in text.lower()
    assert "care team" in text or "Please check" in text


def test_what_is_unlike_usual_is_told_with_the_usual_range_its_length_and_the_days_behind_it(cast, said):
    alert = said(unusual(cast.patient))
    assert sentence(alert) == (
        "Unlike this person's usual together: Heart rate 84 /min, usually 58 to 72 /min; "
        "Oxygen saturation 94 %, usually 95 to 98 % (over 1 hour, from 28 days)."
    )
    assert plain_sentence(alert) == (
        "Your heart rate has been higher and oxygen level has been lower than is usual for you. "
        "Your care team has been told."
    )


def test_every_cause_has_a_short_label():
    assert [cause_label(c) for c in ("news2", "limit:spo2:low", "silence:spo2", "silence:all", *CAUSES)] == [
        "NEWS2",
        "Oxygen saturation too low",
        "No data: oxygen saturation",
        "No data: all vitals",
        "Heart rate higher than usual",
        "Respiratory rate higher than usual",
        "Oxygen saturation lower than usual",
        "Skin temperature higher than usual",
        "Several vitals unlike usual",
    ]
