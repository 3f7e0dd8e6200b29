"""When nobody watches any more, what was open must neither look watched nor hide what comes afterwards."""

from datetime import timedelta

import pytest
from django.db import transaction

from analytics.episodes import Level
from portal.alerts.answers import Responded, alert_acknowledge, alert_close
from portal.alerts.models import Alert, Episode, Message
from portal.alerts.services import transitions_apply
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.monitoring.models import Plan
from portal.monitoring.services import draft_of, plan_end, plan_pause, plan_resume, plan_write
from portal.people.following import Follower
from portal.people.models import Change
from tests.portal.conftest import NOW, hypoxia

MINUTE = timedelta(minutes=1)


def raise_alert(patient, at=NOW, **more):
    with transaction.atomic():
        transitions_apply([hypoxia(patient, at=at, **more)], now=at)
    return Alert.objects.latest("pk")


def withdraw(cast, at=NOW + MINUTE):
    return consent_record(patient=cast.patient, purpose=Purpose.CARE, given=False, by=cast.alice, now=at)


def test_after_a_pause_the_same_cause_alerts_again(cast):
    first = raise_alert(cast.patient)
    plan_pause(patient=cast.patient, reason="in hospital", until=None, author=cast.bob, now=NOW + MINUTE)
    ended = first.events.last()
    assert (ended.kind, ended.note) == ("unwatched", "Monitoring is paused: in hospital")
    alert_close(user=cast.bob, alert=first, response=Responded("admitted"), now=NOW + 2 * MINUTE)
    plan_resume(patient=cast.patient, author=cast.bob, now=NOW + 3 * MINUTE)
    second = raise_alert(cast.patient, NOW + 4 * MINUTE)
    assert second != first
    assert Episode.objects.filter(ended_at__isnull=True).get() == second.episode


def test_after_the_end_of_a_plan_its_alert_stays_for_a_human(cast):
    alert = raise_alert(cast.patient)
    plan_end(patient=cast.patient, author=cast.bob, now=NOW + MINUTE)
    alert.refresh_from_db()
    assert (alert.state, alert.episode.ended_at) == ("open", NOW + MINUTE)


def test_an_edited_plan_leaves_open_episodes_alone(cast):
    raise_alert(cast.patient)
    plan_write(patient=cast.patient, draft=draft_of(cast.plan), author=cast.bob, now=NOW + MINUTE)
    assert Episode.objects.get().ended_at is None


def test_withdrawing_consent_tells_the_team_of_what_can_no_longer_be_seen(cast):
    alert = raise_alert(cast.patient, level=Level.HIGH)
    alert_acknowledge(user=cast.bob, alert=alert, note="calling her", now=NOW)
    follower = Follower([Change.Kind.PLAN])
    follower.changed()
    withdraw(cast)
    alert.refresh_from_db()
    assert (alert.state, alert.events.last().kind) == ("open", "unwatched")
    waiting = Message.objects.get(due_at__isnull=False)
    assert (waiting.recipient, waiting.event) == (cast.bob, alert.events.last())
    assert follower.changed()  # the watcher reads its episodes anew
    before = Change.objects.count()
    withdraw(cast, NOW + 2 * MINUTE)  # the button pressed twice
    assert (Change.objects.count(), Message.objects.filter(due_at__isnull=False).count()) == (before, 1)


def test_without_consent_no_episode_opens_and_with_it_again_one_does(cast):
    withdraw(cast)
    with transaction.atomic():
        assert transitions_apply([hypoxia(cast.patient, at=NOW + 2 * MINUTE)], now=NOW + 2 * MINUTE) == set()
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=True, by=cast.alice, now=NOW + 3 * MINUTE)
    assert raise_alert(cast.patient, NOW + 4 * MINUTE).state == "open"


def test_withdrawing_another_consent_touches_no_alert(cast):
    alert = raise_alert(cast.patient)
    consent_record(patient=cast.patient, purpose=Purpose.CHAT, given=True, by=cast.alice, now=NOW)
    consent_record(patient=cast.patient, purpose=Purpose.CHAT, given=False, by=cast.alice, now=NOW)
    assert [event.kind for event in alert.events.all()] == ["opened"]


@pytest.mark.parametrize("gone", ["inactive", "left"])
def test_where_no_responder_is_left_the_whole_team_is_told(cast, gone):
    colleague = type(cast.bob).objects.create_user("erin", role="clinician", organisation=cast.organisation)
    cast.patient.care_team.members.add(colleague)
    if gone == "inactive":
        type(cast.bob).objects.filter(pk=cast.bob.pk).update(is_active=False)
    else:
        cast.patient.care_team.members.remove(cast.bob)
    raise_alert(cast.patient)
    assert [m.recipient for m in Message.objects.all()] == [colleague]


def test_the_patient_gets_mail_about_silence_and_never_about_a_value(cast):
    raise_alert(cast.patient)
    raise_alert(cast.patient, cause="silence:all", level=Level.SILENT)
    told = Message.objects.filter(recipient=cast.alice).values_list("event__alert__episode__cause", flat=True)
    assert list(told) == ["silence:all"]


def test_a_resumed_plan_says_when_its_pause_was(cast):
    plan_pause(patient=cast.patient, reason="on holiday", until=None, author=cast.bob, now=NOW)
    plan_resume(patient=cast.patient, author=cast.bob, now=NOW + MINUTE)
    plan = Plan.objects.get(in_force_to__isnull=True)
    assert (plan.paused_from, plan.paused_to, plan.is_active(NOW + MINUTE)) == (NOW, NOW + MINUTE, True)
