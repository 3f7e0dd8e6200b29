"""What happens to episodes and alerts: transitions of the readings, and what people do about them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from analytics.episodes import Step, Transition
from portal.accounts.models import Role, User
from portal.alerts.live import announce_after_commit
from portal.alerts.models import Alert, AlertEvent, Episode, Level, Message
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.monitoring.models import Plan
from portal.people.models import Change, Patient
from portal.people.services import change_record

if TYPE_CHECKING:
    from django.db.models import QuerySet


class AlertConflict(Exception):
    """The alert is not in a state in which this can be done; the text says who has done what."""


def transitions_apply(transitions: Sequence[Transition], *, now: datetime) -> set[int]:
    """Apply changes of state, inside the caller's transaction; the primary keys of the organisations to announce to.

    Repeats change nothing: there is one open episode per person and cause, its level only rises, and one alert belongs
    to it. An episode that ends before anybody answered leaves its alert open, with the event "Back in range": somebody
    has to say that it was seen. Who has no active plan, or no consent to care, gets no new episode.

    Each step that asks for an answer puts a message to the plan's responders in the outbox. The patient sees every
    alert in the portal, and gets a message about silence only: that is what a patient can mend (worn? charged?), while
    word of a bad value comes from a person and not from a machine.

    `now` is an aware time in UTC. Raises RuntimeError outside a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("transitions_apply belongs inside the transaction that also moves the watcher's position")
    patients = {p.subject: p for p in Patient.objects.filter(subject__in={t.subject for t in transitions})}
    plans = _watched(patients.values(), now)
    events = []
    for transition in transitions:
        patient = patients.get(transition.subject)
        if patient is not None and (event := _apply(transition, patient, plans.get(patient.pk), now)) is not None:
            events.append((patient, event))
    # Changes last, organisations in order: their counters stay locked until the commit.
    for patient, event in sorted(events, key=lambda pair: (pair[0].organisation_id, pair[1].pk)):
        _change(patient, event, now)
    return {patient.organisation_id for patient, _ in events}


def _watched(patients: Collection[Patient], now: datetime) -> dict[int, Plan]:
    """The active plan of each of these patients who has one and has consented to care."""
    plans = Plan.objects.in_force(now).filter(patient__in=[p.pk for p in patients])
    consented = consenting(list(patients), Purpose.CARE)
    return {p.patient_id: p for p in plans if p.is_active(now) and p.patient_id in consented}


def _apply(transition: Transition, patient: Patient, plan: Plan | None, now: datetime) -> AlertEvent | None:
    same_cause = Episode.objects.filter(patient=patient, cause=transition.cause)
    episode = same_cause.filter(ended_at__isnull=True).select_for_update().first()
    if _is_repeat(transition, same_cause, episode):
        return None
    if transition.step == Step.ENDED:
        return None if episode is None else _end(episode, AlertEvent.Kind.ENDED, transition.at, now)
    if plan is None:
        return None
    if episode is None and transition.step == Step.OPENED:
        event = _open(transition, patient, now)
    elif episode is not None and transition.level > episode.level:
        event = _worsen(episode, transition, now)
    else:
        return None
    _message(event, patient, plan, now)
    return event


def _is_repeat(transition: Transition, same_cause: "QuerySet[Episode]", episode: Episode | None) -> bool:
    """Whether this step belongs to an episode that has ended: it opened it, or it lies before the open one began."""
    ended = same_cause.filter(ended_at__isnull=False)
    if transition.step == Step.OPENED:
        return ended.filter(began_at=transition.at).exists()
    before = episode is not None and transition.at < episode.began_at
    return before and ended.filter(began_at__lte=transition.at, ended_at__gte=transition.at).exists()


def _open(transition: Transition, patient: Patient, now: datetime) -> AlertEvent:
    episode = Episode.objects.create(
        patient=patient,
        cause=transition.cause,
        level=transition.level,
        began_at=transition.at,
        evidence=transition.evidence,
    )
    alert = Alert.objects.create(episode=episode, raised_at=now)
    return _event(alert, AlertEvent.Kind.OPENED, now)


def _worsen(episode: Episode, transition: Transition, now: datetime) -> AlertEvent:
    episode.level, episode.evidence = transition.level, transition.evidence
    episode.save(update_fields=["level", "evidence"])
    # A worse state needs a new answer, even where somebody had answered the milder one.
    Alert.objects.filter(episode=episode).update(state=Alert.State.OPEN)
    return _event(episode.alert, AlertEvent.Kind.WORSENED, now)


def _end(episode: Episode, kind: AlertEvent.Kind, at: datetime, now: datetime, note: str = "") -> AlertEvent:
    episode.ended_at = max(at, episode.began_at)
    episode.save(update_fields=["ended_at"])
    return _event(episode.alert, kind, now, note=note)


def _message(event: AlertEvent, patient: Patient, plan: Plan | None, now: datetime) -> None:
    """To the plan's responders who still are of the team; where none is left, to the whole team: never to nobody."""
    team = User.objects.filter(care_teams=patient.care_team_id, role=Role.CLINICIAN, is_active=True)
    everybody = set(team.values_list("pk", flat=True))
    recipients = everybody & set(plan.responders.values_list("user_id", flat=True)) if plan else set()
    recipients = recipients or everybody
    if event.level == Level.SILENT and patient.user_id is not None:
        recipients |= {patient.user_id}
    Message.objects.bulk_create(
        Message(event=event, channel=Message.Channel.EMAIL, recipient_id=recipient, due_at=now)
        for recipient in sorted(recipients)
    )


def episodes_unwatch(*, patient: Patient, why: str, now: datetime, tell: bool = False) -> None:
    """End a person's open episodes because nobody watches any more: a pause, the plan's end, consent withdrawn.

    An episode left open would keep a new one of the same cause from being opened when watching goes on. The alerts
    stay for a human. With `tell`, each alert that is not closed and is about a value is open again and the team gets a
    message: what became of it cannot be seen any more. Call it inside a transaction, before its other changes.
    """
    about = Q(ended_at__isnull=True) | ~Q(alert__state=Alert.State.CLOSED) if tell else Q(ended_at__isnull=True)
    episodes = Episode.objects.filter(about, patient=patient).select_related("alert").order_by("pk")
    plan = Plan.objects.in_force(now).filter(patient=patient).first()
    events = []
    for episode in episodes.select_for_update(of=("self",)):
        event = _end(episode, AlertEvent.Kind.UNWATCHED, episode.ended_at or now, now, why)
        if tell and episode.level > Level.SILENT and episode.alert.state != Alert.State.CLOSED:
            Alert.objects.filter(pk=episode.alert.pk).update(state=Alert.State.OPEN)
            _message(event, patient, plan, now)
        events.append(event)
    for event in events:
        _change(patient, event, now)


def alert_acknowledge(*, user: User, alert: Alert, note: str, now: datetime) -> Alert:
    """Say that this clinician has seen the alert; every message of it that is still to be sent is stopped.

    Raises AlertConflict if somebody already has, or the user may not.
    """
    return _answer(user, alert, note, now, AlertEvent.Kind.ACKNOWLEDGED, Alert.State.ACKNOWLEDGED, (Alert.State.OPEN,))


def alert_close(*, user: User, alert: Alert, note: str, now: datetime) -> Alert:
    """Close the alert with a note that says what was done. Raises AlertConflict as `alert_acknowledge` does."""
    if not note.strip():
        raise AlertConflict("Write a note that says what was done before you close the alert.")
    before = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED)
    return _answer(user, alert, note, now, AlertEvent.Kind.CLOSED, Alert.State.CLOSED, before)


def _answer(
    user: User,
    alert: Alert,
    note: str,
    now: datetime,
    kind: AlertEvent.Kind,
    after: Alert.State,
    before: Collection[Alert.State],
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
        announce_after_commit(alert.episode.patient.organisation_id)
    return alert


def _event(alert: Alert, kind: AlertEvent.Kind, now: datetime, *, by: User | None = None, note: str = "") -> AlertEvent:
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
