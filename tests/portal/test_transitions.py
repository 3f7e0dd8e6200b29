"""Episodes and alerts in the database: one of each, whatever is repeated."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from analytics.episodes import Level, Step
from portal.alerts.answers import AlertConflict, Responded, alert_acknowledge, alert_close
from portal.alerts.models import Alert, AlertEvent, Episode, Message
from portal.alerts.services import transitions_apply
from portal.monitoring.services import plan_pause
from portal.people.models import Change
from tests.portal.conftest import NOW, hypoxia, make_cast


def apply(*transitions, now=NOW):
    with transaction.atomic():
        return transitions_apply(transitions, now=now)


def kinds(alert):
    return list(alert.events.values_list("kind", flat=True))


def test_an_episode_has_one_alert_with_its_life(cast):
    assert apply(hypoxia(cast.patient)) == {cast.organisation.pk}
    apply(hypoxia(cast.patient))  # a replay
    apply(hypoxia(cast.patient, step=Step.WORSENED, level=Level.HIGH))
    apply(hypoxia(cast.patient, step=Step.WORSENED, level=Level.MEDIUM))  # never back
    apply(hypoxia(cast.patient, step=Step.ENDED, level=Level.HIGH, at=NOW + timedelta(hours=1)))
    apply(hypoxia(cast.patient, step=Step.ENDED, level=Level.HIGH, at=NOW + timedelta(hours=2)))
    alert = Alert.objects.get()
    assert (alert.state, alert.episode.level, alert.episode.ended_at) == ("open", Level.HIGH, NOW + timedelta(hours=1))
    assert kinds(alert) == ["opened", "worsened", "ended"]
    assert list(Message.objects.order_by("event").values_list("recipient__username", "event__kind")) == [
        ("bob", "opened"),
        ("bob", "worsened"),
    ]


def test_outside_a_transaction_nothing_is_applied(transactional_db):
    cast = make_cast()
    with pytest.raises(RuntimeError):
        transitions_apply([hypoxia(cast.patient)], now=NOW)


def test_nobody_is_alerted_without_an_active_plan(cast):
    assert apply(hypoxia(cast.dora)) == set()
    plan_pause(patient=cast.patient, reason="in hospital", until=None, author=cast.bob, now=NOW)
    assert apply(hypoxia(cast.patient), now=NOW + timedelta(seconds=1)) == set()
    assert Episode.objects.count() == 0


def test_a_worse_state_asks_again_even_if_the_milder_one_was_acknowledged(cast):
    apply(hypoxia(cast.patient))
    alert_acknowledge(user=cast.bob, alert=Alert.objects.get(), note="calling her", now=NOW)
    apply(hypoxia(cast.patient, step=Step.WORSENED, level=Level.HIGH))
    assert Alert.objects.get().state == "open"
    assert Message.objects.filter(due_at__isnull=False).count() == 1


def test_acknowledging_stops_every_message_and_says_who_did(cast):
    apply(hypoxia(cast.patient))
    alert = alert_acknowledge(user=cast.bob, alert=Alert.objects.get(), note="", now=NOW)
    assert Message.objects.get().stopped_because == "alert acknowledged"
    with pytest.raises(AlertConflict, match="Bob has already acknowledged"):
        alert_acknowledge(user=cast.bob, alert=alert, note="", now=NOW)
    with pytest.raises(AlertConflict, match="note"):
        alert_close(user=cast.bob, alert=alert, response=Responded(" "), now=NOW)
    alert_close(user=cast.bob, alert=alert, response=Responded("reached her, oxygen turned up"), now=NOW)
    with pytest.raises(AlertConflict, match="already closed"):
        alert_close(user=cast.bob, alert=alert, response=Responded("again"), now=NOW)


@pytest.mark.parametrize("who", ["charlie", "alice", "admin"])
def test_only_the_care_team_answers(cast, who):
    apply(hypoxia(cast.patient))
    with pytest.raises(AlertConflict, match="Only a clinician"):
        alert_acknowledge(user=getattr(cast, who), alert=Alert.objects.get(), note="", now=NOW)
    assert Alert.objects.get().state == "open"


steps = st.lists(
    st.tuples(st.sampled_from(list(Step)), st.sampled_from([Level.LOW_MEDIUM, Level.MEDIUM, Level.HIGH])),
    min_size=1,
    max_size=8,
)


class Replays(TestCase):
    @settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(steps, st.data())
    def test_any_order_and_any_replay_leaves_one_alert_per_episode_and_levels_that_only_rise(self, drawn, data):
        cast = make_cast()
        for n, (step, level) in enumerate(drawn):
            apply(hypoxia(cast.patient, step=step, level=level, at=NOW + timedelta(minutes=n)))
            again = data.draw(st.integers(0, 2))
            for _ in range(again):  # the same transition once more, as after a crash
                before = AlertEvent.objects.count()
                if step != Step.ENDED or not Episode.objects.filter(ended_at__isnull=True).exists():
                    apply(hypoxia(cast.patient, step=step, level=level, at=NOW + timedelta(minutes=n)))
                assert AlertEvent.objects.count() == before
        assert Episode.objects.filter(ended_at__isnull=True).count() <= 1
        assert Alert.objects.count() == Episode.objects.count()
        for alert in Alert.objects.all():
            levels = list(alert.events.values_list("level", flat=True))
            assert levels == sorted(levels)
            assert kinds(alert).count("opened") == 1
        sequences = list(Change.objects.order_by("sequence").values_list("sequence", flat=True))
        assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_who_acknowledge_at_once_one_does():
    cast = make_cast()
    apply(hypoxia(cast.patient))
    alert, outcomes = Alert.objects.get(), []

    def acknowledge():
        try:
            alert_acknowledge(user=cast.bob, alert=alert, note="", now=NOW)
            outcomes.append("done")
        except AlertConflict:
            outcomes.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=acknowledge) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 5 + ["done"]
    assert kinds(alert) == ["opened", "acknowledged"]
