"""What people say to an alert: acknowledged, a note, snoozed, closed with a response record."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from analytics.evidence import concerns
from portal.accounts.models import User
from portal.alerts.events import changed, event_add, messages_stop, state_set
from portal.alerts.live import announce_after_commit
from portal.alerts.models import Alert, AlertEvent, Response, Snooze
from portal.alerts.selectors import NOT_CLOSED
from portal.alerts.snoozes import covered_until, longest, snoozes_in_force


class AlertConflict(Exception):
    """The alert is not in a state in which this can be done; the text says who has done what, or what to do."""


@dataclass(frozen=True, slots=True)
class Responded:
    """What a response record says; `called` and `outcome` are of `Response.Called` and `Response.Outcome`."""

    advice: str
    called: str = Response.Called.NOBODY
    reached: bool = False
    outcome: str = Response.Outcome.NOTHING
    useful: bool = True


UNANSWERED = (Alert.State.OPEN, Alert.State.SNOOZED)


def alert_acknowledge(*, user: User, alert: Alert, note: str, now: datetime) -> Alert:
    """Say that this clinician has seen the alert and holds it; every message of it still to be sent is stopped.

    Raises AlertConflict if somebody already has, or the user may not.
    """

    def acknowledge(alert: Alert) -> AlertEvent:
        state_set(alert, Alert.State.ACKNOWLEDGED, now, held_by=user)
        messages_stop(alert, "alert acknowledged")
        return event_add(alert, AlertEvent.Kind.ACKNOWLEDGED, now, by=user, note=note.strip())

    return _answer(user, alert, UNANSWERED, now, acknowledge)


def alert_note(*, user: User, alert: Alert, note: str, now: datetime) -> Alert:
    """Add a note. On an acknowledged alert it says "still on it": the next reminder is a full interval away."""
    if not note.strip():
        raise AlertConflict("Write what you want to note.")

    def add(alert: Alert) -> AlertEvent:
        if alert.state == Alert.State.ACKNOWLEDGED:
            state_set(alert, alert.state, now, held_by=user)
            messages_stop(alert, "a note was added")
        return event_add(alert, AlertEvent.Kind.NOTED, now, by=user, note=note.strip())

    return _answer(user, alert, NOT_CLOSED, now, add)


def alert_snooze(*, user: User, alert: Alert, until: datetime, reason: str, now: datetime) -> Alert:
    """Tell nobody about what this alert is about, each vital in its direction, until then; a worse state still does.

    Raises AlertConflict without a reason, or if `until` is further away than 24 hours (30 minutes of a red state).
    """
    at_most = longest(alert.episode.level)
    if not reason.strip():
        raise AlertConflict("Say why it may wait, for example “oxygen is being refilled”.")
    if not now < until <= now + at_most:
        raise AlertConflict(f"Choose an end within {_in_words(at_most)}: this is as long as such an alert may wait.")

    def snooze(alert: Alert) -> AlertEvent:
        Snooze.objects.bulk_create(
            Snooze(
                alert=alert,
                patient=alert.episode.patient,
                vital=concern.vital,
                direction=concern.direction,
                points=concern.points,
                level=alert.episode.level,
                reason=reason.strip(),
                by=user,
                at=now,
                until=until,
            )
            for concern in concerns(alert.episode.cause, alert.episode.evidence)
        )
        patient = alert.episode.patient_id
        in_force = snoozes_in_force([patient], now).get(patient, ())
        ends = covered_until(alert.episode, in_force)  # not before an older snooze of the same
        state_set(alert, Alert.State.SNOOZED, now, held_by=user, until=ends)
        messages_stop(alert, "alert snoozed")
        return event_add(alert, AlertEvent.Kind.SNOOZED, now, by=user, note=reason.strip())

    return _answer(user, alert, NOT_CLOSED, now, snooze)


def alert_close(*, user: User, alert: Alert, response: Responded, now: datetime) -> Alert:
    """Close the alert with a response record. Raises AlertConflict as `alert_acknowledge` does."""
    if not response.advice.strip():
        raise AlertConflict("Write a note that says what was done before you close the alert.")
    if response.reached and response.called == Response.Called.NOBODY:
        raise AlertConflict("Say whom you called, or that nobody was reached.")

    def close(alert: Alert) -> AlertEvent:
        Response.objects.create(
            alert=alert,
            by=user,
            at=now,
            called=response.called,
            reached=response.reached,
            advice=response.advice.strip(),
            outcome=response.outcome,
            useful=response.useful,
        )
        state_set(alert, Alert.State.CLOSED, now, held_by=user)
        messages_stop(alert, "alert closed")
        return event_add(alert, AlertEvent.Kind.CLOSED, now, by=user, note=response.advice.strip())

    return _answer(user, alert, NOT_CLOSED, now, close)


def _answer(
    user: User, alert: Alert, before: Collection[str], now: datetime, answer: Callable[[Alert], AlertEvent]
) -> Alert:
    with transaction.atomic():
        alert = Alert.objects.select_for_update(of=("self",)).select_related("episode__patient").get(pk=alert.pk)
        if not user.is_clinician or not Alert.objects.visible_to(user).filter(pk=alert.pk).exists():
            raise AlertConflict("Only a clinician of this patient's care team can answer this alert.")
        if alert.state not in before:
            last = alert.events.exclude(by=None).select_related("by").last()
            who = (last.by.get_full_name() or last.by.username) if last and last.by else "Somebody"
            raise AlertConflict(f"{who} has already {alert.get_state_display().lower()} this alert.")
        changed(alert.episode.patient, answer(alert), now)
        announce_after_commit(alert.episode.patient.organisation_id)
    return alert


def _in_words(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    return f"{minutes // 60} hours" if minutes > 60 else f"{minutes} minutes"
