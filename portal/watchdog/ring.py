"""The watchdog's own organisation: synthetic patients in a ring, so that each has calmed down before its turn comes."""

import math
from datetime import date, datetime

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction

from portal.accounts.models import Role, User
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.devices.models import Device
from portal.devices.services import device_add, device_assign
from portal.monitoring.services import Draft, plan_write
from portal.people.models import CareTeam, Organisation, Patient

ORGANISATION = "Wellrange watchdog"
NOBODY = make_password(None)  # these accounts cannot sign in
CALM_S = 20 * 60  # an episode ends after a quarter of an hour of calm


def device_of(patient: Patient) -> str:
    return f"wellrange_watchdog_{patient.name.rpartition(' ')[2]}"


def ring_make(now: datetime) -> list[Patient]:
    """The synthetic patients, made as needed: enough of them for the interval between probes."""
    wanted = max(2, math.ceil(CALM_S / settings.WATCHDOG_EVERY_S) + 1)
    with transaction.atomic():
        organisation, _ = Organisation.objects.get_or_create(name=ORGANISATION)
        team, _ = CareTeam.objects.get_or_create(organisation=organisation, name="Watchdog")
        responder = _responder(organisation, team)
        there = Patient.objects.filter(organisation=organisation).count()
        for number in range(there + 1, wanted + 1):
            _patient(number, team, responder, now)
    return list(Patient.objects.filter(organisation=organisation).order_by("pk")[:wanted])


def _responder(organisation: Organisation, team: CareTeam) -> User:
    """Who gets the watchdog's mail: an address of the operators', or one that the mail server discards."""
    user, made = User.objects.get_or_create(
        username="wellrange-watchdog",
        defaults={"role": Role.CLINICIAN, "organisation": organisation, "password": NOBODY},
    )
    if user.email != settings.WATCHDOG_EMAIL:
        user.email = settings.WATCHDOG_EMAIL
        user.save(update_fields=["email"])
    if made:
        team.members.add(user)
    return user


def _patient(number: int, team: CareTeam, responder: User, now: datetime) -> None:
    own = User.objects.create(
        username=f"wellrange-watchdog-{number}", role=Role.PATIENT, organisation=team.organisation, password=NOBODY
    )
    patient = Patient.objects.create(
        organisation=team.organisation,
        care_team=team,
        user=own,
        name=f"Watchdog {number}",
        birth_date=date(1970, 1, 1),
        time_zone="UTC",
    )
    device = Device(organisation=team.organisation, device_id=device_of(patient), kind=Device.Kind.WATCH)
    device_assign(device=device_add(device=device, now=now), patient=patient, now=now)
    consent_record(patient=patient, purpose=Purpose.CARE, given=True, by=own, now=now)
    draft = Draft(reason="Proves that alerts arrive", starts_at=now, responders=[(responder, 60)])
    plan_write(patient=patient, draft=draft, author=responder, now=now)
