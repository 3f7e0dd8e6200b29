"""The life of an alert after it was raised: passed on, reminded, snoozed, handed over, closed."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from analytics.episodes import Level, Step
from portal.accounts.models import QuietHours
from portal.alerts.answers import AlertConflict, Responded, alert_acknowledge, alert_close, alert_note, alert_snooze
from portal.alerts.due import ANSWER_WITHIN, CLOSE_AFTER, REMIND_OTHERS_AFTER, REPEAT_AFTER
from portal.alerts.handover import hand_overs_of, shift_hand_over, shift_take_back
from portal.alerts.models import Alert, AlertEvent, EscalationStep, Message, Response
from portal.alerts.overdue import alerts_overdue
from portal.alerts.services import transitions_apply
from tests.portal.conftest import NOW, colleague, hypoxia, make_cast

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def raise_alert(cast, now=NOW, **more):
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient, at=now, **more)], now=now)
    return Alert.objects.latest("pk")


def end(cast, now, **more):
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient, step=Step.ENDED, at=now, **more)], now=now)


def kinds(alert):
    return list(alert.events.values_list("kind", flat=True))


def told(kind):
    return sorted(Message.objects.filter(event__kind=kind).values_list("recipient__username", flat=True))


# --- nobody answers ---


def test_an_alert_that_nobody_answers_is_passed_on_step_by_step(cast):
    beth = colleague(cast)
    EscalationStep.objects.create(care_team=cast.patient.care_team, after_minutes=40, recipient=beth)
    alert = raise_alert(cast)
    assert told("opened") == ["bob"]
    assert alerts_overdue(NOW + 14 * MINUTE) == set()
    assert alerts_overdue(NOW + 15 * MINUTE) == {cast.organisation.pk}  # the plan says that Bob answers within 15
    assert told("escalated") == ["beth", "bob"]
    alerts_overdue(NOW + 16 * MINUTE)
    alerts_overdue(NOW + 40 * MINUTE)
    assert told("escalated") == ["beth", "beth", "bob"]
    alerts_overdue(NOW + 40 * MINUTE + REPEAT_AFTER)  # the last step is repeated
    assert told("escalated") == ["beth", "beth", "beth", "bob"]
    assert [e.note for e in alert.events.filter(kind="escalated")] == [
        "To everybody in the care team.",
        "To Beth.",
        "To Beth.",
    ]


def test_steps_of_a_stopped_scheduler_are_taken_one_after_the_other(cast):
    EscalationStep.objects.create(care_team=cast.patient.care_team, after_minutes=30)
    alert = raise_alert(cast)
    for _ in range(3):
        alerts_overdue(NOW + 31 * MINUTE)
    assert kinds(alert) == ["opened", "escalated", "escalated"]


def test_a_milder_alert_is_not_repeated_for_ever_and_a_step_may_ask_for_a_level(cast):
    EscalationStep.objects.create(care_team=cast.patient.care_team, after_minutes=20, least_level=Level.HIGH)
    alert = raise_alert(cast, level=Level.LOW_MEDIUM)
    for minutes in range(0, 300, 5):
        alerts_overdue(NOW + minutes * MINUTE)
    assert kinds(alert) == ["opened", "escalated"]


def test_acknowledging_ends_the_chain_and_stops_every_message(cast):
    alert = raise_alert(cast)
    alerts_overdue(NOW + 15 * MINUTE)
    alert_acknowledge(user=cast.bob, alert=alert, note="", now=NOW + 16 * MINUTE)
    assert set(Message.objects.values_list("stopped_because", flat=True)) == {"alert acknowledged"}
    alerts_overdue(NOW + 40 * MINUTE)
    assert "escalated" not in kinds(alert)[3:]


# --- acknowledged, and then nothing ---


def test_whoever_acknowledged_is_reminded_and_then_the_alert_is_open_again(cast):
    alert = raise_alert(cast)
    alert_acknowledge(user=cast.bob, alert=alert, note="calling", now=NOW)
    alerts_overdue(NOW + REMIND_OTHERS_AFTER)
    assert told("reminded") == ["bob"]
    alerts_overdue(NOW + REMIND_OTHERS_AFTER + ANSWER_WITHIN)
    alert.refresh_from_db()
    assert (alert.state, alert.held_by) == ("open", None)
    assert told("reopened") == ["bob"]
    alerts_overdue(NOW + REMIND_OTHERS_AFTER + ANSWER_WITHIN + 15 * MINUTE)
    assert kinds(alert) == ["opened", "acknowledged", "reminded", "reopened", "escalated"]


def test_a_note_says_still_on_it(cast):
    alert = raise_alert(cast)
    alert_acknowledge(user=cast.bob, alert=alert, note="", now=NOW)
    alert_note(user=cast.bob, alert=alert, note="waiting for her daughter", now=NOW + 29 * MINUTE)
    alerts_overdue(NOW + 31 * MINUTE)
    assert "reminded" not in kinds(alert)
    alerts_overdue(NOW + 29 * MINUTE + REMIND_OTHERS_AFTER)
    assert kinds(alert)[-1] == "reminded"


def test_acknowledged_and_back_in_range_for_a_day_it_closes_by_itself(cast):
    alert = raise_alert(cast)
    alert_acknowledge(user=cast.bob, alert=alert, note="", now=NOW)
    end(cast, NOW + HOUR)
    alerts_overdue(NOW + HOUR + REMIND_OTHERS_AFTER)  # nothing to remind of
    assert kinds(alert) == ["opened", "acknowledged", "ended"]
    alerts_overdue(NOW + HOUR + CLOSE_AFTER)
    alert.refresh_from_db()
    assert alert.state == "closed"
    last = alert.events.last()
    assert (last.kind, last.by, last.note) == (
        "closed",
        None,
        "Closed by itself: acknowledged, and back in range for a day.",
    )


def test_an_unanswered_alert_never_closes_by_itself(cast):
    alert = raise_alert(cast)
    end(cast, NOW + HOUR)
    for hours in range(72):
        alerts_overdue(NOW + hours * HOUR)
    alert.refresh_from_db()
    assert alert.state == "open"


def test_silence_closes_by_itself_when_readings_come_again(cast):
    silent = {"cause": "silence:spo2", "level": Level.SILENT}
    alert = raise_alert(cast, **silent)
    end(cast, NOW + HOUR, **silent)
    alert.refresh_from_db()
    assert alert.state == "closed"
    assert alert.events.last().note == "Closed by itself: readings come again."
    assert not Message.objects.filter(due_at__isnull=False).exists()


# --- snoozing ---


def test_a_snoozed_alert_is_quiet_until_it_wakes(cast):
    alert = raise_alert(cast)
    alert_snooze(user=cast.bob, alert=alert, until=NOW + HOUR, reason="oxygen is being refilled", now=NOW)
    assert not Message.objects.filter(due_at__isnull=False).exists()
    alerts_overdue(NOW + 59 * MINUTE)
    alert.refresh_from_db()
    assert alert.state == "snoozed"
    alerts_overdue(NOW + HOUR)
    alert.refresh_from_db()
    assert alert.state == "open"
    assert told("woken") == ["bob"]


def test_a_new_episode_of_what_is_snoozed_is_recorded_and_tells_nobody_until_then(cast):
    alert = raise_alert(cast)
    alert_snooze(user=cast.bob, alert=alert, until=NOW + 2 * HOUR, reason="coughing fit", now=NOW)
    end(cast, NOW + 20 * MINUTE)
    alert.refresh_from_db()
    assert (alert.state, alert.events.last().note) == (
        "closed",
        "Closed by itself: back in range while it was snoozed.",
    )
    again = raise_alert(cast, now=NOW + 30 * MINUTE)
    again.refresh_from_db()
    assert (again.state, kinds(again)) == ("snoozed", ["opened", "snoozed"])
    assert not Message.objects.filter(event__alert=again).exists()
    alerts_overdue(NOW + 2 * HOUR)
    again.refresh_from_db()
    assert again.state == "open"


def test_a_worse_state_is_never_hidden(cast):
    alert = raise_alert(cast)
    alert_snooze(user=cast.bob, alert=alert, until=NOW + 2 * HOUR, reason="coughing fit", now=NOW)
    with transaction.atomic():
        worse = hypoxia(cast.patient, step=Step.WORSENED, level=Level.HIGH, at=NOW + MINUTE)
        transitions_apply([worse], now=NOW + MINUTE)
    alert.refresh_from_db()
    assert alert.state == "open"
    assert told("worsened") == ["bob"]


def test_other_vitals_and_the_other_direction_are_not_snoozed(cast):
    low = {"cause": "limit:heart_rate:low"}
    alert = raise_alert(cast, **low)
    alert_snooze(user=cast.bob, alert=alert, until=NOW + 2 * HOUR, reason="asleep", now=NOW)
    for cause in ("limit:heart_rate:high", "limit:spo2:low", "news2"):
        assert raise_alert(cast, now=NOW + MINUTE, cause=cause).state == "open"


def test_a_red_state_can_be_snoozed_for_half_an_hour_only_and_never_without_a_reason(cast):
    alert = raise_alert(cast, level=Level.HIGH)
    with pytest.raises(AlertConflict, match="within 30 minutes"):
        alert_snooze(user=cast.bob, alert=alert, until=NOW + HOUR, reason="x", now=NOW)
    with pytest.raises(AlertConflict, match="Say why"):
        alert_snooze(user=cast.bob, alert=alert, until=NOW + 20 * MINUTE, reason=" ", now=NOW)
    alert_snooze(user=cast.bob, alert=alert, until=NOW + 30 * MINUTE, reason="nurse is there", now=NOW)
    milder = raise_alert(cast, cause="limit:heart_rate:high")
    with pytest.raises(AlertConflict, match="within 24 hours"):
        alert_snooze(user=cast.bob, alert=milder, until=NOW + 25 * HOUR, reason="x", now=NOW)


causes = st.sampled_from(["news2", "limit:spo2:low", "limit:spo2:high", "silence:spo2"])
levels = st.sampled_from([Level.SILENT, Level.LOW_MEDIUM, Level.MEDIUM, Level.HIGH])


class Snoozes(TestCase):
    @settings(max_examples=30)
    @given(causes, levels, causes, levels, st.integers(1, 1600))
    def test_a_snooze_hides_the_same_up_to_its_level_and_its_end_and_nothing_else(
        self, cause, level, again, later_level, minutes
    ):
        cast = make_cast()
        alert = raise_alert(cast, cause=cause, level=level)
        until = NOW + (30 * MINUTE if level == Level.HIGH else 24 * HOUR)
        alert_snooze(user=cast.bob, alert=alert, until=until, reason="known", now=NOW)
        end(cast, NOW + MINUTE / 2, cause=cause)
        then = NOW + minutes * MINUTE
        later = raise_alert(cast, now=then, cause=again, level=later_level)
        hidden = later.state == "snoozed"
        assert hidden == (again == cause and later_level <= level and then < until)
        assert hidden == (not Message.objects.filter(event__alert=later).exists())


# --- closing ---


def test_an_alert_closes_with_a_record_of_what_was_done(cast):
    alert = raise_alert(cast)
    page = f"/alerts/{alert.pk}/answer/"
    client = cast.client("bob")
    form = {"answer": "close", "called": "patient", "reached": "yes", "outcome": "advice", "useful": "no"}
    assert client.post(page, form).status_code == 422
    assert client.post(page, form | {"advice": "Sit up, oxygen at 2 l"}).status_code == 302
    record = Response.objects.get()
    assert (record.by, record.called, record.reached, record.outcome, record.useful, record.advice) == (
        cast.bob,
        "patient",
        True,
        "advice",
        False,
        "Sit up, oxygen at 2 l",
    )
    assert "Sit up, oxygen at 2 l" in client.get(f"/alerts/{alert.pk}/").content.decode()


def test_a_record_does_not_contradict_itself(cast):
    alert = raise_alert(cast)
    with pytest.raises(AlertConflict, match="whom you called"):
        alert_close(user=cast.bob, alert=alert, response=Responded("ok", reached=True), now=NOW)


@pytest.mark.parametrize(
    ("answer", "more"),
    [("note", {"note": "on my way"}), ("snooze", {"minutes": "30", "reason": "nurse is there"}), ("acknowledge", {})],
)
def test_the_page_takes_every_answer_from_bob_and_none_from_alice_or_charlie(cast, answer, more):
    alert = raise_alert(cast)
    page = f"/alerts/{alert.pk}/answer/"
    assert cast.client("charlie").post(page, {"answer": answer, **more}).status_code == 404
    assert cast.client("alice").post(page, {"answer": answer, **more}).status_code == 409
    assert cast.client("bob").post(page, {"answer": answer, **more}).status_code == 302
    assert AlertEvent.objects.exclude(by=None).count() == 1


def test_contacts_stand_beside_the_alert(cast):
    from portal.monitoring.services import Contact, Draft, plan_write

    draft = Draft(
        reason="COPD",
        starts_at=NOW - HOUR,
        vitals={"spo2": 5},
        responders=[(cast.bob, 15)],
        contacts=[Contact("next_of_kin", "Tom Marsh", "01632 960001")],
    )
    plan_write(patient=cast.patient, draft=draft, author=cast.bob, now=NOW - MINUTE)
    alert = raise_alert(cast)
    page = cast.client("bob").get(f"/alerts/{alert.pk}/").content.decode()
    assert "Tom Marsh" in page
    assert 'href="tel:01632960001"' in page


# --- the shift, and quiet hours ---


def test_a_shift_handed_over_brings_messages_and_held_alerts_to_the_colleague(cast):
    beth = colleague(cast)
    held = raise_alert(cast)
    alert_acknowledge(user=cast.bob, alert=held, note="", now=NOW)
    shift_hand_over(giver=cast.bob, taker=beth, note="Alice is on the phone", now=NOW + MINUTE)
    held.refresh_from_db()
    assert held.held_by == beth
    assert held.events.last().note == "To Beth. Alice is on the phone"
    raise_alert(cast, now=NOW + 2 * MINUTE, cause="limit:heart_rate:high")
    assert told("opened") == ["beth", "bob"]  # Bob's is of the first alert
    assert [(h.giver, h.taker) for h in hand_overs_of(beth)] == [(cast.bob, beth)]
    assert not hand_overs_of(cast.charlie).exists()
    assert "Beth has Bob\u2019s shift" in cast.client("bob").get("/board/").content.decode()
    shift_take_back(giver=cast.bob, now=NOW + HOUR)
    raise_alert(cast, now=NOW + 2 * HOUR, cause="limit:spo2:low")
    assert told("opened") == ["beth", "bob", "bob"]
    with pytest.raises(ValidationError, match="nobody else's hands"):
        shift_take_back(giver=cast.bob, now=NOW + HOUR)


def test_a_shift_goes_to_a_colleague_of_the_same_teams_only_and_once(cast):
    with pytest.raises(ValidationError, match="all of your care teams"):
        shift_hand_over(giver=cast.bob, taker=cast.charlie, note="", now=NOW)
    beth = colleague(cast)
    client = cast.client("bob")
    assert client.post("/shift/", {"action": "hand_over", "taker": cast.charlie.pk}).status_code == 422
    assert client.post("/shift/", {"action": "hand_over", "taker": beth.pk}).status_code == 302
    with pytest.raises(ValidationError, match="already"):
        shift_hand_over(giver=cast.bob, taker=beth, note="", now=NOW)
    # Beth hands hers to Bob: a circle. Whoever is asked first is told, and nobody is asked for ever.
    shift_hand_over(giver=beth, taker=cast.bob, note="", now=NOW)
    raise_alert(cast)
    assert len(told("opened")) == 1


def test_quiet_hours_hold_what_can_wait_and_nothing_else(cast):
    cast.bob.quiet_hours, cast.bob.time_zone = QuietHours.NIGHT, "Asia/Kathmandu"
    cast.bob.save()
    night = NOW.replace(hour=20, minute=15, second=0)  # 02:00 in Kathmandu
    raise_alert(cast, now=night, level=Level.LOW_MEDIUM)
    held = Message.objects.get()
    assert held.due_at == night + timedelta(hours=5)  # 07:00
    assert held.held_because == "quiet hours: Every night, 22:00 to 07:00"
    raise_alert(cast, now=night, cause="limit:spo2:low", level=Level.MEDIUM)
    assert Message.objects.latest("event__pk").due_at == night


def test_a_clinician_chooses_quiet_hours_on_her_page(cast):
    client = cast.client("bob")
    assert client.post("/shift/", {"action": "quiet", "quiet_hours": "off_work"}).status_code == 302
    cast.bob.refresh_from_db()
    assert cast.bob.quiet_hours == "off_work"
    assert client.post("/shift/", {"action": "quiet", "quiet_hours": "always"}).status_code == 422
    assert cast.client("alice").get("/shift/").status_code == 403
