"""Probing the whole path: packets to Kafka, door, watcher, alert, outbox, mail. Failure and recovery are announced."""

import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Max

from analytics.episodes import Level
from portal.alerts.answers import Responded, alert_close
from portal.alerts.models import Alert, Message, Response
from portal.people.models import Patient
from portal.watchdog.models import Probe
from portal.watchdog.ring import device_of, ring_make

log = logging.getLogger(__name__)

WITHIN = timedelta(seconds=60)  # an alert that takes longer counts as not delivered
SICK = {"heart_rate": 180, "spo2": 80, "respiratory_rate": 32}  # NEWS2 of 9
CALM = {"heart_rate": 70, "spo2": 98, "respiratory_rate": 14}
APART = timedelta(seconds=31)  # two readings: one alone is a spike

Send = Callable[[Iterable[tuple[str, bytes]]], None]  # (device id, packet) pairs to `vitals.readings`


def probe_start(now: datetime, send: Send) -> Probe | None:
    """Make the synthetic patient who has waited longest ill, and keep the others calm. None if it is not time yet."""
    every = timedelta(seconds=settings.WATCHDOG_EVERY_S)
    newest = Probe.objects.aggregate(at=Max("began_at"))["at"]
    if not every or (newest is not None and now - newest < every):
        return None
    patients = ring_make(now)
    last = dict(Probe.objects.values_list("patient").annotate(at=Max("began_at")))
    ill = min(patients, key=lambda p: (last.get(p.pk, datetime.min.replace(tzinfo=now.tzinfo)), p.pk))
    if _was_made_now(ill, now):
        return None  # the door does not know them yet: next time
    probe = Probe.objects.create(patient=ill, began_at=now)
    packets = [_packet(p, CALM, now) for p in patients if p.pk != ill.pk]
    packets += [_packet(ill, SICK, now - APART), _packet(ill, SICK, now)]
    try:
        send(packets)
    except Exception as error:
        log.warning("the watchdog could not send its packets (%s)", type(error).__name__)
    return probe


def probes_check(now: datetime) -> None:
    """Look how far the open probes have come; tell the operators when the path fails, and when it works again."""
    for probe in Probe.objects.filter(delivered_at__isnull=True, failed_at__isnull=True).order_by("pk"):
        alert = Alert.objects.filter(episode__patient=probe.patient_id, raised_at__gte=probe.began_at).first()
        sent = Message.objects.filter(event__alert=alert, sent_at__isnull=False).first() if alert else None
        if alert is not None and alert.episode.level >= Level.HIGH:
            probe.raised_at = alert.raised_at
        if probe.raised_at is not None and sent is not None and sent.sent_at - probe.began_at <= WITHIN:
            probe.delivered_at = sent.sent_at
        elif now - probe.began_at > WITHIN:
            probe.failed_at = now
            probe.why = "An alert was raised, and no mail went out" if probe.raised_at else "No alert was raised"
        else:
            continue
        _tell_operators(probe)
        probe.save(update_fields=["raised_at", "delivered_at", "failed_at", "why"])
    _close_alerts(now)


def unproven_since(now: datetime) -> datetime | None:
    """Since when the alerting path is not proven to work, None if it is (or the watchdog is off or has not begun).

    Asked by the board itself, so that it also tells when the watchdog's own tasks no longer run.
    """
    if not settings.WATCHDOG_EVERY_S:
        return None
    newest = Probe.objects.filter(delivered_at__isnull=False).order_by("-began_at").first()
    patience = timedelta(seconds=2 * settings.WATCHDOG_EVERY_S) + WITHIN
    if newest is not None:
        failed = Probe.objects.filter(failed_at__isnull=False, began_at__gt=newest.began_at).exists()
        return newest.began_at if failed or now - newest.began_at > patience else None
    first = Probe.objects.order_by("began_at").first()
    return first.began_at if first is not None and now - first.began_at > WITHIN else None


def _tell_operators(probe: Probe) -> None:
    """On a change only: one word when it fails, one when it works again."""
    before = Probe.objects.filter(began_at__lt=probe.began_at).exclude(delivered_at=None, failed_at=None).first()
    failed_before = before is not None and before.failed_at is not None
    if (probe.failed_at is not None) == failed_before:
        return
    if probe.failed_at is not None:
        log.critical("the alerting path has failed: %s", probe.why)
        subject, text = (
            "Wellrange: alerts do not arrive",
            f"{probe.why} within {WITHIN.seconds} s. See docs/operations.md.",
        )
    else:
        log.warning("the alerting path works again")
        subject, text = "Wellrange: alerts arrive again", "The watchdog's alert was raised and delivered in time."
    if settings.OPERATOR_EMAILS:
        try:
            send_mail(subject, text, None, settings.OPERATOR_EMAILS)
        except OSError as error:
            log.warning("the operators could not be told by mail (%s)", type(error).__name__)


def _close_alerts(now: datetime) -> None:
    """Nobody is to be asked about a probe again."""
    decided = Probe.objects.exclude(delivered_at=None, failed_at=None).values("patient")
    alerts = Alert.objects.filter(episode__patient__in=decided).exclude(state=Alert.State.CLOSED)
    for alert in alerts.select_related("episode__patient__care_team"):
        if Probe.objects.filter(patient=alert.episode.patient_id, delivered_at=None, failed_at=None).exists():
            continue
        responder = alert.episode.patient.care_team.members.get()
        record = Responded("A probe of the watchdog", outcome=Response.Outcome.NOTHING)
        alert_close(user=responder, alert=alert, response=record, now=now)


def _packet(patient: Patient, vitals: dict[str, int], at: datetime) -> tuple[str, bytes]:
    device = device_of(patient)
    return device, json.dumps({"device_id": device, "timestamp": at.isoformat(), **vitals}).encode()


def _was_made_now(patient: Patient, now: datetime) -> bool:
    return patient.assignments.filter(started_at__gt=now - APART - timedelta(seconds=5)).exists()
