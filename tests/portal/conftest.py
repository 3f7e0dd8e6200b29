"""The cast: Alice is a patient, Bob her clinician, Charlie a clinician of another team who must see nothing of her."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import transaction

from analytics.episodes import Level, Step, Transition
from portal.accounts.models import Role, User
from portal.alerts.models import Alert
from portal.alerts.services import transitions_apply
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.devices.models import Device
from portal.devices.services import device_add, device_assign
from portal.monitoring.models import Plan
from portal.monitoring.services import Draft, plan_write
from portal.people.models import CareTeam, Organisation, Patient

PASSWORD = "a long password of the cast"


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def organisation(db) -> Organisation:
    return Organisation.objects.create(name="Riverside Home Care")


@pytest.fixture
def user_of(organisation) -> Callable[..., User]:
    """Makes a user of the organisation."""

    def make(username: str, role: Role, **more: object) -> User:
        names = {"first_name": username.title(), "email": f"{username}@riverside.example", "organisation": organisation}
        return User.objects.create_user(username, password=PASSWORD, role=role, **(names | more))

    return make


@pytest.fixture
def team(organisation) -> CareTeam:
    return CareTeam.objects.create(organisation=organisation, name="Riverside Team")


@pytest.fixture
def other_team(organisation) -> CareTeam:
    return CareTeam.objects.create(organisation=organisation, name="Hillside Team")


@pytest.fixture
def admin(user_of) -> User:
    return user_of("admin", Role.ADMIN, is_staff=True, is_superuser=True)


@pytest.fixture
def alice(user_of) -> User:
    return user_of("alice", Role.PATIENT)


@pytest.fixture
def bob(user_of, team) -> User:
    bob = user_of("bob", Role.CLINICIAN)
    team.members.add(bob)
    return bob


@pytest.fixture
def charlie(user_of, other_team) -> User:
    charlie = user_of("charlie", Role.CLINICIAN)
    other_team.members.add(charlie)
    return charlie


@pytest.fixture
def patient_of(organisation, admin) -> Callable[..., Patient]:
    """Makes a patient of a team, who has consented to care and has a watch."""

    def make(name: str, team: CareTeam, at: datetime, user: User | None = None) -> Patient:
        patient = Patient.objects.create(
            organisation=organisation, care_team=team, user=user, name=name, birth_date=date(1950, 5, 17)
        )
        consent_record(patient=patient, purpose=Purpose.CARE, given=True, by=user or admin, now=at)
        watch = Device(organisation=organisation, device_id=f"watch_{patient.pk}", kind=Device.Kind.WATCH)
        device_assign(device=device_add(device=watch, now=at), patient=patient, now=at)
        return patient

    return make


@pytest.fixture
def patient(patient_of, team, alice, now) -> Patient:
    """Alice as a patient, for two days; without a plan."""
    return patient_of("Alice Marsh", team, now - timedelta(days=2), alice)


@pytest.fixture
def charlies_patient(patient_of, other_team, now) -> Patient:
    return patient_of("Dora Hill", other_team, now - timedelta(days=2))


@pytest.fixture
def draft(bob, now) -> Draft:
    """A plan as Bob would write it: three vitals every five minutes, he answers within fifteen."""
    return Draft(
        reason="COPD, after discharge",
        starts_at=now - timedelta(days=1),
        vitals={"heart_rate": 5, "spo2": 5, "respiratory_rate": 5},
        responders=[(bob, 15)],
    )


@pytest.fixture
def plan(patient, bob, draft, now) -> Plan:
    """Alice's plan, active since yesterday."""
    return plan_write(patient=patient, draft=draft, author=bob, now=now - timedelta(days=1))


@pytest.fixture
def transition(now) -> Callable[..., Transition]:
    """Makes a step of a NEWS2 episode."""

    def make(patient: Patient, step: Step = Step.OPENED, level: Level = Level.HIGH, **more: object) -> Transition:
        at = now.isoformat().replace("+00:00", "Z")
        value = {"value": 84.0, "measured_at": at, "device_id": "watch_1", "points": 3}
        evidence = {
            "rule": "NEWS2 (RCP 2017), SpO₂ scale 1",
            "score": 7,
            "inputs": 4,
            "partial": True,
            "unconfirmed": False,
            "values": {"spo2": value},
        }
        step_of = {"subject": patient.subject, "cause": "news2", "step": step, "level": level, "at": now}
        return Transition(**(step_of | {"evidence": evidence} | more))

    return make


@pytest.fixture
def alert(plan, patient, transition, now) -> Alert:
    """An open alert of Alice: NEWS2 7."""
    with transaction.atomic():
        transitions_apply([transition(patient)], now=now)
    return Alert.objects.get()
