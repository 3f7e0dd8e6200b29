"""The cast: Alice is a patient, Bob her clinician, Charlie a clinician of another team who must see nothing of her."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
import redis
from django.test import Client

from analytics.episodes import Level, Step, Transition
from portal.accounts.models import Role, User
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.devices.models import Device
from portal.devices.services import device_add, device_assign
from portal.monitoring.models import Plan
from portal.monitoring.services import Draft, plan_write
from portal.people.models import CareTeam, Organisation, Patient
from portal.pipeline.latest import connection as redis_connection

NOW = datetime.now(UTC).replace(microsecond=0)
YESTERDAY = NOW - timedelta(days=1)


@dataclass(frozen=True)
class Cast:
    """`patient` is Alice on the record, with a watch (`device`), consent to care and a `plan` that Bob wrote.

    Dora is a patient of Charlie's team, with consent and nothing else.
    """

    organisation: Organisation
    alice: User
    bob: User
    charlie: User
    admin: User
    patient: Patient
    dora: Patient
    device: Device
    plan: Plan

    def client(self, name: str) -> Client:
        """A browser in which this person is signed in."""
        client = Client()
        client.force_login(getattr(self, name))
        return client


def make_cast() -> Cast:
    organisation = Organisation.objects.create(name="Riverside Home Care")
    alice, bob = _user("alice", Role.PATIENT, organisation), _user("bob", Role.CLINICIAN, organisation)
    charlie = _user("charlie", Role.CLINICIAN, organisation)
    admin = _user("admin", Role.ADMIN, organisation, is_staff=True, is_superuser=True)
    team = CareTeam.objects.create(organisation=organisation, name="Riverside Team")
    other_team = CareTeam.objects.create(organisation=organisation, name="Hillside Team")
    team.members.add(bob)
    other_team.members.add(charlie)
    patient = _patient("Alice Marsh", team, alice)
    dora = _patient("Dora Dale", other_team)
    device = Device(organisation=organisation, device_id="watch-alice", kind=Device.Kind.WATCH)
    device_assign(device=device_add(device=device, now=YESTERDAY), patient=patient, now=YESTERDAY)
    for person in (patient, dora):
        consent_record(patient=person, purpose=Purpose.CARE, given=True, by=person.user or admin, now=YESTERDAY)
    draft = Draft(
        reason="COPD, after discharge",
        starts_at=YESTERDAY,
        vitals={"heart_rate": 5, "spo2": 5},
        responders=[(bob, 15)],
    )
    plan = plan_write(patient=patient, draft=draft, author=bob, now=YESTERDAY)
    return Cast(organisation, alice, bob, charlie, admin, patient, dora, device, plan)


def _user(name: str, role: Role, organisation: Organisation, **more: bool) -> User:
    return User.objects.create_user(
        name, f"{name}@test.example", first_name=name.title(), role=role, organisation=organisation, **more
    )


def _patient(name: str, team: CareTeam, user: User | None = None) -> Patient:
    return Patient.objects.create(
        organisation=team.organisation, care_team=team, user=user, name=name, birth_date=date(1950, 5, 17)
    )


def colleague(cast: Cast) -> User:
    """Beth, another clinician of Bob's team."""
    beth = _user("beth", Role.CLINICIAN, cast.organisation)
    cast.patient.care_team.members.add(beth)
    return beth


def hypoxia(
    patient: Patient,
    *,
    step: Step = Step.OPENED,
    level: Level = Level.MEDIUM,
    at: datetime = NOW,
    cause: str = "news2",
) -> Transition:
    """A step of an episode of low oxygen: SpO₂ 88 %, NEWS2 5 from four of seven inputs; of another cause: like it."""
    measured_at = at.isoformat().replace("+00:00", "Z")
    spo2 = {"value": 88.0, "measured_at": measured_at, "device_id": "watch-alice", "points": 3}
    heart_rate = {"value": 112.0, "measured_at": measured_at, "device_id": "watch-alice", "points": 2}
    evidence = {
        "rule": "NEWS2 (RCP 2017), SpO₂ scale 1",
        "score": 5,
        "inputs": 4,
        "partial": True,
        "unconfirmed": False,
        "values": {"spo2": spo2, "heart_rate": heart_rate},
    }
    kind, _, rest = cause.partition(":")
    if kind == "limit":
        vital, _, direction = rest.partition(":")
        value = {"value": 88.0, "measured_at": measured_at, "device_id": "watch-alice", "points": None}
        evidence = {"rule": "Plan limit", "limit": 90.0, "direction": direction, "reason": "COPD", "unconfirmed": False}
        evidence["values"] = {vital: value}
    elif kind == "silence":
        evidence = {"rule": "Plan schedule", "vital": rest, "due_every_minutes": 5, "last_measured_at": measured_at}
        evidence |= {"device_id": "watch-alice", "battery": 12.0}
    return Transition(patient.subject, cause, step, level, at, evidence)


@pytest.fixture
def cast(db) -> Cast:
    return make_cast()


@pytest.fixture
def empty_redis() -> Iterator[redis.Redis]:
    """This worker's own Redis database, empty before and after."""
    connection = redis_connection()
    connection.flushdb()
    yield connection
    connection.flushdb()
