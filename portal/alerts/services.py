"""What happens to episodes and alerts: transitions of the readings, and what people do about them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from analytics.episodes import Step, Transition
from portal.alerts.live import announce
from portal.alerts.models import Alert, AlertEvent, Episode, Message
from portal.monitoring.models import Plan
from portal.people.models import Change, Patient
from portal.people.services import change_record

if TYPE_CHECKING:
    from portal.accounts.models import User


class AlertConflict(Exception):
    """The alert is not in a state in which this can be done; the text says who has done what."""


def transitions_apply(transitions: Sequence[Transition], *, now: datetime) -> set[int]:
    """Apply changes of state, inside the caller's transaction; the primary keys of the organisations to announce to.

    Repeats change nothing: there is one open episode per person and cause, its level only rises, and one alert belongs
    to it. An episode that ends leaves its alert to a human: somebody has to say that it was seen. A patient without
    an active plan gets no new episode. Raises RuntimeError outside a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("transitions_apply belongs inside the transaction that also moves the watcher's position")
    patients = {
        p.subject: p
        for p in Patient.objects.filter(subject__in={t.subject for t in transitions}).select_related("organisation")
    }
    plans = {p.patient_id: p for p in Plan.objects.in_force(now).filter(patient__in=patients.values())}
    events = []
    for transition in transitions:
        patient = patients.get(transition.subject)
        if patient is not None and (event := _apply(transition, patient, plans.get(patient.pk), now)) is not None:
            events.append((patient, event))
    # Changes last, organisations in order: their counters stay locked until the commit.
    for patient, event in sorted(events, key=lambda pair: (pair[0].organisation_id, pair[1].pk)):
        _change(patient, event, now)
    return {patient.organisation_id for patient, _ in events}


def _apply(transition: Transition, patient: Patient, plan: Plan | None, now: datetime) -> AlertEvent | None:
    open_now = Episode.objects.select_for_update().filter(
        patient=patient, cause=transition.cause, ended_at__isnull=True
    )
    episode = open_now.first()
    if transition.step == Step.ENDED:
        if episode is None:
            return None
        episode.ended_at = max(transition.at, episode.began_at)
        episode.save(update_fields=["ended_at"])
        return _event(episode.alert, AlertEvent.Kind.ENDED, now)
    if plan is None or not plan.is_active(now):
        return None
    if episode is None:
        episode = Episode.objects.create(
            patient=patient,
            cause=transition.cause,
            level=transition.level,
            began_at=transition.at,
            evidence=transition.evidence,
        )
        alert = Alert.objects.create(episode=episode, raised_at=now)
        event = _event(alert, AlertEvent.Kind.OPENED, now)
    elif transition.level > episode.level:
        episode.level, episode.evidence = transition.level, transition.evidence
        episode.save(update_fields=["level", "evidence"])
        # A worse state needs a new answer, even where somebody had answered the milder one.
        Alert.objects.filter(episode=episode).update(state=Alert.State.OPEN)
        event = _event(episode.alert, AlertEvent.Kind.WORSENED, now)
    else:
        return None
    Message.objects.bulk_create(
        Message(event=event, channel=Message.Channel.EMAIL, recipient_id=responder, due_at=now)
        for responder in plan.responders.values_list("user_id", flat=True)
    )
    return event


def alert_acknowledge(*, user: "User", alert: Alert, note: str, now: datetime) -> Alert:
    """Say that this clinician has seen the alert; every message of it that is still to be sent is stopped.

    Raises AlertConflict if somebody already has, or the user may not.
    """
    return _answer(user, alert, note, now, AlertEvent.Kind.ACKNOWLEDGED, Alert.State.ACKNOWLEDGED, (Alert.State.OPEN,))


def alert_close(*, user: "User", alert: Alert, note: str, now: datetime) -> Alert:
    """Close the alert with a note that says what was done. Raises AlertConflict as `alert_acknowledge` does."""
    if not note.strip():
        raise AlertConflict("Write a note that says what was done before you close the alert.")
    before = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED)
    return _answer(user, alert, note, now, AlertEvent.Kind.CLOSED, Alert.State.CLOSED, before)


def _answer(
    user: "User",
    alert: Alert,
    note: str,
    now: datetime,
    kind: AlertEvent.Kind,
    after: Alert.State,
    before: Iterable[Alert.State],
) -> Alert:
    with transaction.atomic():
        alert = Alert.objects.select_for_update(of=("self",)).select_related("episode__patient").get(pk=alert.pk)
        if not user.is_clinician or not Alert.objects.visible_to(user).filter(pk=alert.pk).exists():
            raise AlertConflict("Only a clinician of this patient's care team can answer this alert.")
        if alert.state not in before:
            last = alert.events.exclude(by=None).select_related("by").last()
            who = (last.by.get_full_name() or last.by.username) if last and last.by else "Somebody"
            raise AlertConflict(f"{who} has already {alert.get_state_display().lower()} this alert.")
        alert.state = after
        alert.save(update_fields=["state"])
        event = _event(alert, kind, now, by=user, note=note.strip())
        Message.objects.filter(event__alert=alert, due_at__isnull=False).update(
            due_at=None, stopped_because=f"alert {after}"
        )
        _change(alert.episode.patient, event, now)
    announce([alert.episode.patient.organisation_id])
    return alert


def _event(
    alert: Alert, kind: AlertEvent.Kind, now: datetime, *, by: "User | None" = None, note: str = ""
) -> AlertEvent:
    return AlertEvent.objects.create(alert=alert, kind=kind, level=alert.episode.level, at=now, by=by, note=note)


def _change(patient: Patient, event: AlertEvent, now: datetime) -> None:
    change_record(
        organisation_id=patient.organisation_id,
        kind=Change.Kind.ALERT,
        patient=patient,
        what=event.kind,
        row=event.alert_id,
        now=now,
    )
