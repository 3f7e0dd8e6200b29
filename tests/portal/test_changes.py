"""What an open page hears of: everything once, in order, and nothing of a person it may not show."""

import threading
import time

import pytest
from django.db import connection, transaction

from portal.alerts.answers import alert_acknowledge
from portal.alerts.models import Alert
from portal.alerts.selectors import alert_for, alerts_for, changes_since, cursor_of, open_alerts_of
from portal.alerts.services import transitions_apply
from portal.monitoring.services import draft_of, plan_write
from portal.people.models import Change
from portal.people.services import change_record
from tests.portal.conftest import NOW, hypoxia, make_cast


@pytest.fixture
def alert(cast):
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient)], now=NOW)
    return Alert.objects.get()


def test_the_care_team_and_the_patient_hear_of_an_alert_and_charlie_does_not(cast, alert):
    alert_acknowledge(user=cast.bob, alert=alert, note="calling her", now=NOW)
    for who in (cast.bob, cast.alice):
        cursor, seen = changes_since(who, 0)
        assert cursor == cursor_of(who)
        assert [(c.what, c.alert) for c in seen if c.kind == "alert"] == [
            ("opened", alert.pk),
            ("acknowledged", alert.pk),
        ]
        assert changes_since(who, cursor) == (cursor, [])
        assert alert_for(who, alert.pk) == alert
    cursor, seen = changes_since(cast.charlie, 0)
    assert {change.patient for change in seen} == {cast.dora.pk}
    assert cursor == cursor_of(cast.charlie)
    assert not alerts_for(cast.charlie).exists()
    for who in (cast.charlie, cast.admin):
        with pytest.raises(Alert.DoesNotExist):
            alert_for(who, alert.pk)


def test_a_change_says_nothing_of_anybodys_health(cast, alert):
    _, seen = changes_since(cast.bob, 0)
    assert {key for change in seen for key in change.as_json()} == {"cursor", "kind", "what", "patient", "alert"}
    assert {type(value) for change in seen for value in change.as_json().values()} == {int, str, type(None)}


def test_what_does_not_fit_comes_with_the_next_call(cast, alert):
    cursor, heard = 0, []
    for _ in range(Change.objects.count()):
        cursor, seen = changes_since(cast.bob, cursor, limit=1)
        heard += seen
    assert heard == changes_since(cast.bob, 0)[1]
    assert cursor == cursor_of(cast.bob)


def test_open_alerts_are_those_that_nobody_has_closed(cast, alert):
    assert open_alerts_of([cast.patient, cast.dora]) == {cast.patient.pk: [alert]}
    Alert.objects.update(state=Alert.State.CLOSED)
    assert open_alerts_of([cast.patient]) == {}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_plan_that_waits_for_its_turn_keeps_nobody_from_recording_a_change():
    cast, done = make_cast(), []

    def write():
        plan_write(patient=cast.patient, draft=draft_of(cast.plan), author=cast.bob, now=NOW)
        done.append("written")
        connection.close()

    writer = threading.Thread(target=write)
    with transaction.atomic():
        record = {"organisation_id": cast.organisation.pk, "kind": Change.Kind.ALERT, "now": NOW}
        change_record(**record)  # holds the organisation's counter
        writer.start()
        wait_until_somebody_waits()  # the plan holds its patient and waits for the counter
        change_record(**record, patient=cast.patient)
    writer.join()
    assert done == ["written"]
    sequences = list(Change.objects.order_by("sequence").values_list("sequence", flat=True))
    assert sequences == list(range(1, len(sequences) + 1))


def wait_until_somebody_waits():
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waited for the counter")
