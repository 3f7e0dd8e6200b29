"""What the door knows: changes are in force within a second, and without the database it knows how old it is."""

import json
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from django.db import OperationalError, connection

from ingestion.door import Arrivals, sort_out
from portal.accounts.models import User
from portal.consent.models import ConsentEntry, Purpose
from portal.consent.services import consent_record
from portal.devices.models import Assignment, Device
from portal.devices.services import device_add, device_assign, device_return
from portal.people.models import Patient
from portal.pipeline import directory
from portal.pipeline.directory import LOOK_EVERY_S, RELOAD_EVERY_S, LiveDirectory
from tests.portal.conftest import NOW, YESTERDAY


@pytest.fixture
def clock(monkeypatch):
    """The process's own clock, moved by hand."""
    moved = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(directory, "time", SimpleNamespace(monotonic=lambda: moved.seconds))
    return moved


@pytest.fixture
def same_connection(monkeypatch):
    """The directory must not close the connection whose transaction the test takes back at its end."""
    monkeypatch.setattr(directory, "close_old_connections", lambda: None)


@pytest.fixture
def known(cast, clock, same_connection):
    """A function that says, by a live directory, why a packet of a device of now is refused ("" if it is admitted)."""
    live = LiveDirectory()

    def outcome(device_id="watch-alice"):
        snapshot, _ = live(NOW)
        packet = {"device_id": device_id, "timestamp": NOW.isoformat(), "heart_rate": 70}
        done = sort_out(
            Arrivals(
                topic_id="t",
                values=[json.dumps(packet).encode()],
                keys=[device_id.encode()],
                accounts=[None],
                partitions=np.zeros(1, np.int64),
                offsets=np.zeros(1, np.int64),
                received_at=np.array([int(NOW.timestamp() * 1e6)]),
            ),
            snapshot,
        )
        return json.loads(done.refused[0])["reason"] if done.refused else ""

    outcome.live = live
    return outcome


def away(execute, sql, params, many, context):
    raise OperationalError("the server closed the connection unexpectedly")


def withdraw(cast):
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=False, by=cast.alice, now=NOW)


def test_a_withdrawal_is_in_force_after_a_second_and_so_is_consent_given_again(cast, known, clock):
    assert known() == ""
    withdraw(cast)
    clock.seconds += LOOK_EVERY_S
    assert known() == "no_consent"
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=True, by=cast.alice, now=NOW)
    clock.seconds += LOOK_EVERY_S
    assert known() == ""


def test_between_two_looks_the_database_is_left_alone(cast, known, clock, django_assert_num_queries):
    known()
    clock.seconds += LOOK_EVERY_S / 2
    with django_assert_num_queries(0):
        known()
    clock.seconds += LOOK_EVERY_S / 2
    with django_assert_num_queries(1):  # nothing has changed: nothing is read but the counters
        known()


def test_other_consents_do_not_count(cast, known, clock):
    consent_record(patient=cast.patient, purpose=Purpose.CHAT, given=True, by=cast.alice, now=NOW)
    withdraw(cast)
    assert known() == "no_consent"


def test_devices_come_and_go(cast, known, clock):
    assert known("cuff-1") == "unknown_device"
    cuff = device_add(device=Device(organisation=cast.organisation, device_id="cuff-1", kind="cuff"), now=NOW)
    clock.seconds += LOOK_EVERY_S
    assert known("cuff-1") == "unassigned"
    assignment = device_assign(device=cuff, patient=cast.patient, now=NOW, started_at=YESTERDAY)
    clock.seconds += LOOK_EVERY_S
    assert known("cuff-1") == ""
    device_return(assignment=assignment, now=NOW - timedelta(seconds=1))
    clock.seconds += LOOK_EVERY_S
    assert known("cuff-1") == "unassigned"


def test_without_the_database_the_snapshot_stays_and_says_since_when_it_is_not_sure(cast, known, clock):
    assert known() == ""
    withdraw(cast)
    with connection.execute_wrapper(away):
        for seconds in range(1, 4):
            clock.seconds += LOOK_EVERY_S
            snapshot, true_at = known.live(NOW + timedelta(seconds=seconds))
            assert (true_at, bool(snapshot.consented.any())) == (NOW, True)
    clock.seconds += LOOK_EVERY_S
    assert known.live(NOW + timedelta(seconds=4))[1] == NOW + timedelta(seconds=4)
    assert known() == "no_consent"


def test_a_change_is_not_forgotten_if_the_database_goes_away_while_it_is_read(cast, known, clock):
    """It was noticed, so the next look alone would not find it again."""
    known()
    withdraw(cast)

    def away_for_consent(execute, sql, params, many, context):
        if "consent_consententry" in sql:
            raise OperationalError("the server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    clock.seconds += LOOK_EVERY_S
    with connection.execute_wrapper(away_for_consent):
        assert known.live(NOW + timedelta(seconds=1))[1] == NOW
    clock.seconds += LOOK_EVERY_S
    assert known() == "no_consent"


def test_a_door_that_never_saw_the_database_does_not_open(cast, clock, same_connection):
    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        LiveDirectory()(NOW)


def test_what_was_written_past_the_services_is_seen_with_the_next_reload(cast, known, clock):
    known()
    Assignment.objects.all().delete()
    clock.seconds += LOOK_EVERY_S
    assert known() == ""
    clock.seconds += RELOAD_EVERY_S
    assert known() == "unassigned"


def test_somebody_admitted_while_the_directory_is_read_stops_no_door(cast, monkeypatch):
    persons = directory._persons

    def admitted_meanwhile():
        yield from list(persons())
        user = User.objects.create_user("erin", role="patient", organisation=cast.organisation)
        patient = Patient.objects.create(
            organisation=cast.organisation,
            care_team=cast.patient.care_team,
            user=user,
            name="Erin",
            birth_date=cast.patient.birth_date,
        )
        cuff = device_add(device=Device(organisation=cast.organisation, device_id="cuff-2", kind="cuff"), now=NOW)
        device_assign(device=cuff, patient=patient, now=NOW)

    monkeypatch.setattr(directory, "_persons", admitted_meanwhile)
    assert "watch-alice" in directory.load().devices


def test_the_sequence_of_the_deciding_entry_travels_with_a_person(cast):
    withdraw(cast)
    entry = ConsentEntry.objects.filter(patient=cast.patient, purpose=Purpose.CARE).latest("pk")
    found = directory.load()
    place = [p.subject for p in found.persons].index(cast.patient.subject)
    assert (bool(found.consented[place]), int(found.consent_sequence[place])) == (False, entry.sequence)
