"""What is due for alerts that wait: passed on, reminded, open again, awake, closed by itself.

Every step is one transaction that also plans the next one. Killed before its commit it is done by the next run,
killed after it there is nothing left to do: no step is lost or taken twice, and none after an answer.
"""

from datetime import datetime

from django.db import transaction

from portal.alerts.due import Happens
from portal.alerts.events import chain_now, changed, event_add, messages_stop, next_step, state_set, tell
from portal.alerts.models import Alert, AlertEvent
from portal.alerts.recipients import Care
from portal.alerts.services import alert_close_itself
from portal.pipeline.process import crash_point

AT_ONCE = 200


def alerts_overdue(now: datetime) -> set[int]:
    """Take the next step of every alert whose time has come; the organisations (primary keys) to announce to."""
    due = Alert.objects.filter(next_at__lte=now).order_by("next_at", "pk").values_list("pk", flat=True)[:AT_ONCE]
    return {organisation for pk in list(due) if (organisation := _take(pk, now)) is not None}


def _take(pk: int, now: datetime) -> int | None:
    with transaction.atomic():
        alert = Alert.objects.select_for_update(of=("self",)).select_related("episode__patient", "held_by").get(pk=pk)
        if alert.next_at is None or alert.next_at > now:
            return None  # somebody was faster
        chain = chain_now(alert, now)
        step = next_step(alert, chain)
        if step is None or step.at > now:  # the plan or the team's chain has changed since it was planned
            alert.next_at = step.at if step else None
            alert.save(update_fields=["next_at"])
            return None
        patient = alert.episode.patient
        match step.what:
            case Happens.ESCALATE:
                to = chain[min(alert.steps, len(chain) - 1)]
                event = event_add(alert, AlertEvent.Kind.ESCALATED, now, note=f"To {to.who}.")
                tell(event, to.recipients, now)
                _count(alert, now)
            case Happens.REMIND:
                event = event_add(alert, AlertEvent.Kind.REMINDED, now)
                tell(event, {alert.held_by_id} if alert.held_by_id else set(), now)
                _count(alert, now)
            case Happens.REOPEN | Happens.WAKE:
                kind = AlertEvent.Kind.REOPENED if step.what == Happens.REOPEN else AlertEvent.Kind.WOKEN
                messages_stop(alert, "open again")
                event = event_add(alert, kind, now)
                state_set(alert, Alert.State.OPEN, now)
                tell(event, Care([patient], now).responders_of(patient), now)
            case Happens.CLOSE:
                event = alert_close_itself(alert, "Closed by itself: acknowledged, and back in range for a day.", now)
        changed(patient, event, now)
        crash_point("overdue_before_commit")
    crash_point("overdue_after_commit")
    return patient.organisation_id


def _count(alert: Alert, now: datetime) -> None:
    alert.steps += 1
    following = next_step(alert, chain_now(alert, now))
    alert.next_at = following.at if following else None
    alert.save(update_fields=["steps", "next_at"])
