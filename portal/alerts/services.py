"""What happens to episodes and alerts by itself: transitions of the readings, and the end of watching."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from analytics.episodes import Step, Transition
from portal.alerts.events import changed, event_add, messages_stop, state_set, tell
from portal.alerts.models import Alert, AlertEvent, Episode, Level
from portal.alerts.recipients import responders_of
from portal.alerts.snoozes import covered_until
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.monitoring.models import Plan
from portal.people.models import Patient

if TYPE_CHECKING:
    from django.db.models import QuerySet


def transitions_apply(transitions: Sequence[Transition], *, now: datetime) -> set[int]:
    """Apply changes of state, inside the caller's transaction; the primary keys of the organisations to announce to.

    Repeats change nothing: there is one open episode per person and cause, its level only rises, and one alert belongs
    to it. An episode that ends before anybody answered leaves its alert open, with the event "Back in range": somebody
    has to say that it was seen. Silence is different: when readings come again, its alert closes by itself. Who has no
    active plan, or no consent to care, gets no new episode.

    Each step that asks for an answer puts a message to the plan's responders in the outbox. The patient sees every
    alert in the portal, and gets a message about silence only: that is what a patient can mend (worn? charged?), while
    word of a bad value comes from a person and not from a machine. What is snoozed is recorded and tells nobody until
    the snooze is over.

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
        changed(patient, event, now)
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
        return None if episode is None else _back_in_range(episode, transition.at, now)
    if plan is None:
        return None
    if episode is None and transition.step == Step.OPENED:
        event = _open(transition, patient, now)
    elif episode is not None and transition.level > episode.level:
        event = _worsen(episode, transition, now)
    else:
        return None
    _ask(event, patient, plan, now)
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
    alert = Alert.objects.create(episode=episode, raised_at=now, since=now)
    return event_add(alert, AlertEvent.Kind.OPENED, now)


def _worsen(episode: Episode, transition: Transition, now: datetime) -> AlertEvent:
    episode.level, episode.evidence = transition.level, transition.evidence
    episode.save(update_fields=["level", "evidence"])
    return event_add(episode.alert, AlertEvent.Kind.WORSENED, now)


def _ask(event: AlertEvent, patient: Patient, plan: Plan | None, now: datetime) -> None:
    """Ask for an answer, unless all that the alert is about is snoozed. A worse state needs a new one, even where
    somebody had answered the milder one."""
    alert = event.alert
    if (until := covered_until(alert.episode, now)) is not None:
        state_set(alert, Alert.State.SNOOZED, now, until=until)
        event_add(alert, AlertEvent.Kind.SNOOZED, now, note="Raised while it was snoozed: nobody was told.")
        return
    state_set(alert, Alert.State.OPEN, now)
    recipients = responders_of(patient, plan)
    if event.level == Level.SILENT and patient.user_id is not None:
        recipients |= {patient.user_id}
    tell(event, recipients, now)


def _back_in_range(episode: Episode, at: datetime, now: datetime) -> AlertEvent:
    event = _end(episode, AlertEvent.Kind.ENDED, at, now)
    alert = episode.alert
    if alert.state == Alert.State.SNOOZED:
        alert_close_itself(alert, "Closed by itself: back in range while it was snoozed.", now)
    elif episode.level == Level.SILENT and alert.state != Alert.State.CLOSED:
        alert_close_itself(alert, "Closed by itself: readings come again.", now)
    elif alert.state == Alert.State.ACKNOWLEDGED:
        state_set(alert, alert.state, now, held_by=alert.held_by)
    return event


def _end(episode: Episode, kind: AlertEvent.Kind, at: datetime, now: datetime, note: str = "") -> AlertEvent:
    episode.ended_at = max(at, episode.began_at)
    episode.save(update_fields=["ended_at"])
    return event_add(episode.alert, kind, now, note=note)


def alert_close_itself(alert: Alert, why: str, now: datetime) -> AlertEvent:
    """Close an alert that asks for no answer any more; the event says that nobody did it, and why."""
    state_set(alert, Alert.State.CLOSED, now, held_by=alert.held_by)
    messages_stop(alert, "alert closed")
    return event_add(alert, AlertEvent.Kind.CLOSED, now, note=why)


def episodes_unwatch(*, patient: Patient, why: str, now: datetime, tell_team: bool = False) -> None:
    """End a person's open episodes because nobody watches any more: a pause, the plan's end, consent withdrawn.

    An episode left open would keep a new one of the same cause from being opened when watching goes on. The alerts
    stay for a human. With `tell_team`, each alert that is not closed and is about a value is open again and the team
    gets a message: what became of it cannot be seen any more. Call it inside a transaction, before its other changes.
    """
    about = Q(ended_at__isnull=True) | ~Q(alert__state=Alert.State.CLOSED) if tell_team else Q(ended_at__isnull=True)
    episodes = Episode.objects.filter(about, patient=patient).select_related("alert").order_by("pk")
    plan = Plan.objects.in_force(now).filter(patient=patient).first()
    events = []
    for episode in episodes.select_for_update(of=("self",)):
        event = _end(episode, AlertEvent.Kind.UNWATCHED, episode.ended_at or now, now, why)
        if tell_team and episode.level > Level.SILENT and episode.alert.state != Alert.State.CLOSED:
            state_set(event.alert, Alert.State.OPEN, now)
            tell(event, responders_of(patient, plan), now)
        events.append(event)
    for event in events:
        changed(patient, event, now)
