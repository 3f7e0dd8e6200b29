"""What happens to episodes and alerts by itself: transitions of the readings, and the end of watching."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from analytics.episodes import Transition
from portal.alerts.events import changed_all, event_add, messages_stop, state_set, tell
from portal.alerts.live import announce
from portal.alerts.models import Alert, AlertEvent, Episode, Level
from portal.alerts.recipients import Care
from portal.alerts.rounds import Round, rounds_of
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.people.models import Patient


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
    care = Care(patients.values(), now)
    watched = _watched(patients.values(), care, now)
    events: list[tuple[Patient, AlertEvent]] = []
    for steps in rounds_of([t for t in transitions if t.subject in patients]):
        events += Round([(t, patients[t.subject]) for t in steps], watched, care, now).apply()
    changed_all(events, now)
    return {patient.organisation_id for patient, _ in events}


def _watched(patients: Collection[Patient], care: Care, now: datetime) -> set[int]:
    """The primary keys of those who have an active plan and have consented to care."""
    consented = consenting(patients, Purpose.CARE)
    return {patient for patient, plan in care.plans.items() if plan.is_active(now) and patient in consented}


def _end(episode: Episode, kind: AlertEvent.Kind, at: datetime, now: datetime, note: str = "") -> AlertEvent:
    episode.ended_at = max(at, episode.began_at)
    episode.save(update_fields=["ended_at"])
    return event_add(episode.alert, kind, now, note=note)


def alert_close_itself(alert: Alert, why: str, now: datetime) -> AlertEvent:
    """Close an alert that asks for no answer any more; the event says that nobody did it, and why."""
    state_set(alert, Alert.State.CLOSED, now, held_by=alert.held_by)
    messages_stop(alert, "alert closed")
    return event_add(alert, AlertEvent.Kind.CLOSED, now, note=why)


def transitions_take(transitions: Sequence[Transition], *, now: datetime) -> None:
    """Apply them in a transaction of their own and tell open pages; nothing to do if there are none."""
    if transitions:
        with transaction.atomic():
            organisations = transitions_apply(transitions, now=now)
        announce(organisations)


def episodes_unwatch(*, patient: Patient, why: str, now: datetime, tell_team: bool = False, cause: str = "") -> None:
    """End a person's open episodes because nobody watches any more: a pause, the plan's end, consent withdrawn.

    An episode left open would keep a new one of the same cause from being opened when watching goes on. The alerts
    stay for a human. With `tell_team`, each alert that is not closed and is about a value is open again and the team
    gets a message: what became of it cannot be seen any more. `cause` narrows it to causes that begin so. Call it
    inside a transaction, before its other changes.
    """
    about = Q(ended_at__isnull=True) | ~Q(alert__state=Alert.State.CLOSED) if tell_team else Q(ended_at__isnull=True)
    episodes = Episode.objects.filter(about, patient=patient, cause__startswith=cause)
    episodes = episodes.select_related("alert").order_by("pk")
    care = Care([patient], now)
    events = []
    for episode in episodes.select_for_update(of=("self",)):
        event = _end(episode, AlertEvent.Kind.UNWATCHED, episode.ended_at or now, now, why)
        if tell_team and episode.level > Level.SILENT and episode.alert.state != Alert.State.CLOSED:
            state_set(event.alert, Alert.State.OPEN, now)
            tell(event, care.responders_of(patient), now)
        events.append(event)
    changed_all([(patient, event) for event in events], now)
