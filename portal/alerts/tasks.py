"""Celery tasks of the care queue: deliver what is due, take the next step of waiting alerts, notice silence."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from portal.alerts.live import announce
from portal.alerts.mail import messages_deliver
from portal.alerts.overdue import alerts_overdue
from portal.alerts.services import transitions_take
from portal.alerts.silence import silent_transitions


@shared_task
def deliver(**_: Any) -> None:
    while messages_deliver(timezone.now()):
        pass


@shared_task
def overdue(**_: Any) -> None:
    announce(alerts_overdue(timezone.now()))


@shared_task
def silence(**_: Any) -> None:
    now = timezone.now()
    transitions_take(silent_transitions(now), now=now)
