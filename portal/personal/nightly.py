"""Findings of nights: each morning, once everybody's night has been synced, whether it was unlike what is usual.

Raised and ended as episodes of the cause "personal:nights", through the same door as the watcher's.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from analytics.episodes import Level, Step, Transition
from analytics.nights import NIGHT, Night, judge, nights
from portal.alerts.selectors import with_open_episode
from portal.devices.models import Assignment
from portal.monitoring.selectors import plans_of
from portal.people.models import Patient
from portal.personal.models import ContextTag, KeptBack, PersonalRange
from portal.personal.shared import population_now
from portal.personal.training import consented

log = logging.getLogger(__name__)

CAUSE = "personal:nights"
FROM = time(8)  # local: what a watch has kept over night is synced by then


def night_transitions(people: Iterable[Patient], now: datetime) -> list[Transition]:
    """The steps of those whose last night has not been judged yet; each night is judged once."""
    everybody = consented(list(people))
    plans = plans_of(everybody, now)
    ranges = {r.patient_id: r for r in PersonalRange.objects.filter(patient__in=[p.pk for p in everybody])}
    open_now = with_open_episode(everybody, CAUSE)
    found = []
    for patient in everybody:
        local = now.astimezone(ZoneInfo(patient.time_zone))
        known = ranges.get(patient.pk)
        plan = plans.get(patient.pk)
        if local.time() < FROM or plan is None or not plan.is_active(now):
            continue
        if known is not None and known.judged_on == local.date():
            continue
        night = _night(patient, local.date())
        PersonalRange.objects.update_or_create(patient=patient, defaults={"judged_on": local.date()})
        if night is not None and (step := _step(patient, night, patient.pk in open_now, local.date(), now)):
            found.append(step)
    return found


def _night(patient: Patient, day: date) -> Night | None:
    values = nights(
        settings.LAKE_URL,
        organisation=patient.organisation.key,
        subject=patient.subject,
        zone=ZoneInfo(patient.time_zone),
        last=day,
    )
    shared, version = population_now()
    devices = Assignment.objects.filter(patient=patient, ended_at__isnull=True).order_by("pk")
    return judge(shared, values, version, list(devices.values_list("device__device_id", flat=True)))


def _step(patient: Patient, night: Night, is_open: bool, day: date, now: datetime) -> Transition | None:
    ended = datetime.combine(day, time(), ZoneInfo(patient.time_zone)).astimezone(UTC) + NIGHT
    if is_open and night.calm:
        return Transition(patient.subject, CAUSE, Step.ENDED, Level.LOW_MEDIUM, ended, night.evidence)
    if is_open or not night.unusual:
        return None
    tag = ContextTag.objects.filter(patient=patient).touching(ended - timedelta(days=1), ended).first()
    if tag is not None:
        KeptBack.objects.get_or_create(patient=patient, cause=CAUSE, at=ended, defaults={"tag": tag.kind})
        return None
    return Transition(patient.subject, CAUSE, Step.OPENED, Level.LOW_MEDIUM, ended, night.evidence)
