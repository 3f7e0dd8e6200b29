"""Many transitions at once: what each alone would have done, in as many queries as one takes."""

from datetime import date, timedelta

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from analytics.episodes import Level, Step
from portal.alerts.answers import alert_acknowledge, alert_snooze
from portal.alerts.models import Alert, Episode, EscalationStep, Message
from portal.alerts.services import transitions_apply
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.monitoring.services import draft_of, plan_write
from portal.people.models import Change, Patient
from tests.portal.conftest import NOW, YESTERDAY, hypoxia, make_cast

MINUTE = timedelta(minutes=1)


def neighbours(cast, count):
    """More patients of Bob's team, watched as Alice is."""
    found = []
    for number in range(count):
        patient = Patient.objects.create(
            organisation=cast.organisation,
            care_team=cast.patient.care_team,
            name=f"Neighbour {number}",
            birth_date=date(1950, 5, 17),
        )
        consent_record(patient=patient, purpose=Purpose.CARE, given=True, by=cast.admin, now=YESTERDAY)
        plan_write(patient=patient, draft=draft_of(cast.plan), author=cast.bob, now=YESTERDAY)
        found.append(patient)
    return found


def apply(transitions, now=NOW):
    with transaction.atomic():
        return transitions_apply(transitions, now=now)


def queries(transitions):
    with CaptureQueriesContext(connection) as captured:
        apply(transitions)
    return len(captured)


def test_an_alert_storm_takes_as_many_queries_as_one_alert(cast):
    """Each alert used to take nineteen more, and the last of many waited for all before it."""
    EscalationStep.objects.create(care_team=cast.patient.care_team, after_minutes=40, recipient=cast.bob)
    crowd = neighbours(cast, 20)
    for step, level, at in (
        (Step.OPENED, Level.MEDIUM, NOW),
        (Step.WORSENED, Level.HIGH, NOW + MINUTE),
        (Step.ENDED, Level.HIGH, NOW + 2 * MINUTE),
    ):
        alone = queries([hypoxia(cast.patient, step=step, level=level, at=at)])
        assert queries([hypoxia(p, step=step, level=level, at=at) for p in crowd]) == alone <= 25
    assert Alert.objects.count() == Message.objects.filter(event__kind="opened").count() == 21
    assert [e.kind for e in Alert.objects.latest("pk").events.all()] == ["opened", "worsened", "ended"]
    assert not Episode.objects.filter(ended_at__isnull=True).exists()


class Batches(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.bob = (cast := make_cast()).bob
        cls.people = neighbours(cast, 4)

    @settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 1),
                st.sampled_from(["news2", "limit:spo2:low", "silence:spo2"]),
                st.sampled_from(list(Step)),
                st.sampled_from(list(Level)[1:]),
                st.integers(-2, 4),
            ),
            max_size=6,
        ),
        st.sampled_from(["open", "acknowledged", "snoozed"]),
    )
    def test_a_batch_does_what_its_transitions_do_one_after_the_other(self, drawn, before):
        together, apart = self.people[:2], self.people[2:]
        for patient in (together[0], apart[0]):  # has an alert already, and somebody has answered it
            apply([hypoxia(patient, at=NOW - MINUTE)], now=NOW - MINUTE)
            answer(self.bob, Alert.objects.latest("pk"), before)

        def steps(patients):
            return [
                hypoxia(patients[who], cause=cause, step=step, level=level, at=NOW + minutes * MINUTE)
                for who, cause, step, level, minutes in drawn
            ]

        apply(steps(together))
        for transition in steps(apart):
            apply([transition])
        assert [told(patient) for patient in together] == [told(patient) for patient in apart]
        sequences = list(Change.objects.order_by("sequence").values_list("sequence", flat=True))
        assert sequences == list(range(1, len(sequences) + 1))


def answer(user, alert, state):
    if state == "acknowledged":
        alert_acknowledge(user=user, alert=alert, note="", now=NOW - MINUTE)
    elif state == "snoozed":
        alert_snooze(user=user, alert=alert, until=NOW + 5 * MINUTE, reason="coughing", now=NOW - MINUTE)


def told(patient):
    """All there is of a patient's alerts, and the changes that pages hear of."""
    alerts = [
        (
            alert.episode.cause,
            alert.episode.level,
            alert.episode.began_at,
            alert.episode.ended_at,
            alert.episode.evidence,
            (alert.state, alert.since, alert.steps, alert.held_by, alert.next_at),
            list(alert.events.values_list("kind", "level", "at", "note")),
            sorted(
                Message.objects.filter(event__alert=alert).values_list(
                    "event__kind", "recipient", "due_at", "stopped_because"
                ),
                key=str,
            ),
            list(Change.objects.filter(row=alert.pk, kind="alert").order_by("sequence").values_list("what", flat=True)),
        )
        for alert in Alert.objects.filter(episode__patient=patient).order_by("episode__cause", "pk")
    ]
    return alerts
