"""The demo's organisation: Riverside Home Care, its people, and a hundred patients. All of them are invented."""

import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction

from portal.accounts.models import Role, User
from portal.consent.models import ConsentEntry, Purpose
from portal.consent.text import VERSION
from portal.devices.models import Assignment, Device
from portal.monitoring.models import Plan, PlanContact, PlanLimit, PlanResponder, PlanVital
from portal.people.models import CareTeam, Change, Organisation, Patient
from portal.people.services import change_record

ORGANISATION = "Riverside Home Care"
ALICE = 7  # Alice is the seventh patient: the demo's scripted deterioration is hers
OTHER_TEAM = 10  # the last so many patients are another team's
BELONGS_FROM = timedelta(days=365 * 12)  # devices have been theirs for long, so that recorded history belongs too

FIRST = (
    "Maya",
    "Omar",
    "Ingrid",
    "Kofi",
    "Elena",
    "Tariq",
    "Greta",
    "Rosa",
    "Henrik",
    "Amara",
    "Jonas",
    "Leila",
    "Patrick",
    "Sofia",
    "Wei",
    "Noor",
    "Gareth",
    "Hana",
    "Luis",
    "Freya",
    "Mateo",
    "Zainab",
    "Callum",
    "Yuki",
    "Andrzej",
    "Nadia",
    "Reuben",
    "Thandi",
    "Viktor",
    "Bridget",
    "Samir",
    "Olga",
    "Desmond",
    "Priya",
    "Hugo",
)
LAST = (
    "Okafor",
    "Lindqvist",
    "Hughes",
    "Rahman",
    "Novak",
    "Mensah",
    "Marsh",
    "Ferreira",
    "Petersen",
    "Kaur",
    "Walsh",
    "Yilmaz",
    "Bauer",
    "Chen",
    "Morris",
    "Adeyemi",
    "Rossi",
    "Tanaka",
    "Campbell",
    "Silva",
    "Haddad",
    "Kowalski",
    "Byrne",
    "Santos",
    "Murphy",
    "Ivanova",
    "Grant",
    "Dube",
    "Larsen",
    "Patel",
)
REASONS = (
    "COPD, after discharge",
    "Heart failure, dose being changed",
    "After pneumonia, virtual ward",
    "Hypertension, new medication",
    "After surgery, first month at home",
    "Frailty, falls clinic",
)
KITS = (
    ("device", Device.Kind.WATCH),
    ("cuff", Device.Kind.CUFF),
    ("thermometer", Device.Kind.THERMOMETER),
    ("oximeter", Device.Kind.OXIMETER),
    ("bed", Device.Kind.BED),
)
DUE_MINUTES = {"heart_rate": 5, "spo2": 5, "respiratory_rate": 5, "temperature": 1440, "systolic": 1440}


def password_file() -> Path:
    return Path(settings.VAR_DIR) / "demo-password"


def password() -> str:
    """The password of all demo sign-ins: made once, kept in a file that only its owner can read."""
    path = password_file()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(9))
    return path.read_text().strip()


@transaction.atomic
def seed(now: datetime, people: int = 100) -> None:
    """Make the demo's organisation as of `now`, unless it is there: a second call changes nothing."""
    if Organisation.objects.filter(name=ORGANISATION).exists():
        return
    organisation = Organisation.objects.create(name=ORGANISATION)
    secret = make_password(password())
    admin = _user("admin", "Ada", "Admin", Role.ADMIN, organisation, secret, is_staff=True, is_superuser=True)
    bob = _user("bob", "Bob", "Baker", Role.CLINICIAN, organisation, secret)
    charlie = _user("charlie", "Charlie", "Clark", Role.CLINICIAN, organisation, secret)
    alice = _user("alice", "Alice", "Marsh", Role.PATIENT, organisation, secret)
    riverside = CareTeam.objects.create(organisation=organisation, name="Riverside Team")
    hillside = CareTeam.objects.create(organisation=organisation, name="Hillside Team")
    riverside.members.add(bob)
    hillside.members.add(charlie)

    patients = Patient.objects.bulk_create(
        Patient(
            organisation=organisation,
            care_team=riverside if number <= people - OTHER_TEAM else hillside,
            user=alice if number == ALICE else None,
            name=name,
            birth_date=_birth_date(number),
            phone=f"01632 960{number:03d}",  # Ofcom's numbers for drama
        )
        for number, name in enumerate(_names(people), 1)
    )
    _devices(organisation, patients, now)
    _consents(organisation, patients, admin, now)
    _plans(patients, {riverside.pk: bob, hillside.pk: charlie}, now)
    change_record(organisation_id=organisation.pk, kind=Change.Kind.PLAN, what="seeded", now=now)
    change_record(organisation_id=organisation.pk, kind=Change.Kind.DEVICE, what="seeded", now=now)


def _user(
    username: str, first: str, last: str, role: Role, organisation: Organisation, secret: str, **more: bool
) -> User:
    return User.objects.create(
        username=username,
        first_name=first,
        last_name=last,
        email=f"{username}@riverside.example",
        role=role,
        organisation=organisation,
        password=secret,
        **more,
    )


def _names(people: int) -> Iterator[str]:
    for number in range(people):
        if number + 1 == ALICE:
            yield "Alice Marsh"
        else:
            yield f"{FIRST[number % len(FIRST)]} {LAST[(number * 7 + number // len(FIRST)) % len(LAST)]}"


def _birth_date(number: int) -> date:
    return date(1934 + number * 37 % 50, 1 + number * 5 % 12, 1 + number * 11 % 28)


def _devices(organisation: Organisation, patients: list[Patient], now: datetime) -> None:
    devices = Device.objects.bulk_create(
        Device(organisation=organisation, device_id=f"{prefix}_{number}", kind=kind)
        for number in range(1, len(patients) + 1)
        for prefix, kind in KITS
    )
    Assignment.objects.bulk_create(
        Assignment(device=device, patient=patients[i // len(KITS)], started_at=now - BELONGS_FROM)
        for i, device in enumerate(devices)
    )


def _consents(organisation: Organisation, patients: list[Patient], admin: User, now: datetime) -> None:
    change = change_record(organisation_id=organisation.pk, kind=Change.Kind.CONSENT, what="seeded", now=now)
    ConsentEntry.objects.bulk_create(
        ConsentEntry(
            patient=patient,
            purpose=purpose,
            given=True,
            at=now,
            by=patient.user or admin,
            text_version=VERSION,
            sequence=change.sequence,
        )
        for patient in patients
        for purpose in (Purpose.CARE, Purpose.PERSONAL_MODEL)
    )


def _plans(patients: list[Patient], responder: dict[int, User], now: datetime) -> None:
    plans = Plan.objects.bulk_create(
        Plan(
            patient=patient,
            version=1,
            reason=REASONS[i % len(REASONS)],
            starts_at=now.astimezone(UTC),
            author=responder[patient.care_team_id],
            in_force_from=now,
        )
        for i, patient in enumerate(patients)
    )
    PlanVital.objects.bulk_create(
        PlanVital(plan=plan, vital=vital, due_every_minutes=minutes)
        for plan in plans
        for vital, minutes in DUE_MINUTES.items()
    )
    PlanLimit.objects.bulk_create(
        PlanLimit(
            plan=plan,
            vital="systolic",
            low=100,
            high=170,
            author=plan.author,
            reason="Dose of blood pressure medicine is being changed",
        )
        for plan in plans
        if plan.reason == REASONS[3]
    )
    PlanResponder.objects.bulk_create(PlanResponder(plan=plan, user=plan.author, within_minutes=15) for plan in plans)
    PlanContact.objects.bulk_create(
        contact
        for number, plan in enumerate(plans)
        for contact in (
            PlanContact(
                plan=plan, relation=PlanContact.Relation.PATIENT, name=plan.patient.name, phone=plan.patient.phone
            ),
            PlanContact(
                plan=plan,
                relation=PlanContact.Relation.NEXT_OF_KIN,
                name=f"{FIRST[(number * 11 + 3) % len(FIRST)]} {plan.patient.name.split()[-1]}",
                phone=f"01632 961{number:03d}",
            ),
        )
    )
