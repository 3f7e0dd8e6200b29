"""A round of transitions, at most one of each person and cause: read at once, decided in memory, written at once.

How many queries it takes does not depend on how many people it is about, so an alert storm is no slower than an alert.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Q

from analytics.episodes import Step, Transition
from portal.alerts.events import STATE, event_of, messages_stop_all, state_of, tell_all
from portal.alerts.models import Alert, AlertEvent, Episode, Level
from portal.alerts.recipients import Care
from portal.alerts.snoozes import covered_until, snoozes_in_force
from portal.people.models import Patient

if TYPE_CHECKING:
    from django.db.models import QuerySet


def rounds_of(transitions: Sequence[Transition]) -> Iterator[list[Transition]]:
    """The transitions in their order, cut so that the nth of each person and cause is in the nth round."""
    left = list(transitions)
    while left:
        first = {}
        for transition in left:
            first.setdefault((transition.subject, transition.cause), transition)
        taken = list(first.values())
        yield taken
        left = [t for t in left if first[t.subject, t.cause] is not t]


class Round:
    """Apply it once, inside a transaction. `watched` are the patients (primary keys) who may get a new episode."""

    def __init__(
        self, steps: Sequence[tuple[Transition, Patient]], watched: Collection[int], care: Care, now: datetime
    ) -> None:
        self._steps, self._watched, self._care, self._now = steps, watched, care, now
        self._open = _open_alerts(steps)
        self._ended = _ended_episodes(steps)
        self._snoozes = snoozes_in_force({patient.pk for _, patient in steps}, now)
        self._new: list[Alert] = []  # with their episodes, of which the same is true
        self._changed_episodes: list[Episode] = []
        self._changed_alerts: list[Alert] = []
        self._closed: list[Alert] = []
        self._events: list[AlertEvent] = []
        self._told: list[tuple[AlertEvent, set[int]]] = []

    def apply(self) -> list[tuple[Patient, AlertEvent]]:
        """The event that open pages hear of, of each transition that was not a repeat."""
        events = []
        for transition, patient in self._steps:
            if (event := self._step(transition, patient)) is not None:
                events.append((patient, event))
        self._write()
        return events

    def _step(self, transition: Transition, patient: Patient) -> AlertEvent | None:
        alert = self._open.get((patient.pk, transition.cause))
        if self._is_repeat(transition, patient, alert):
            return None
        if transition.step == Step.ENDED:
            return None if alert is None else self._back_in_range(alert, patient, transition.at)
        if patient.pk not in self._watched:
            return None
        if alert is None and transition.step == Step.OPENED:
            event = self._opened(transition, patient)
        elif alert is not None and transition.level > alert.episode.level:
            event = self._worsened(alert, transition)
        else:
            return None
        self._ask(event, patient)
        return event

    def _is_repeat(self, transition: Transition, patient: Patient, alert: Alert | None) -> bool:
        """Whether this step belongs to an episode that has ended: it opened it, or it lies before the open one
        began."""
        ended = self._ended.get((patient.pk, transition.cause), ())
        if transition.step == Step.OPENED:
            return any(began_at == transition.at for began_at, _ in ended)
        before = alert is not None and transition.at < alert.episode.began_at
        return before and any(began_at <= transition.at <= ended_at for began_at, ended_at in ended)

    def _opened(self, transition: Transition, patient: Patient) -> AlertEvent:
        episode = Episode(
            patient=patient,
            cause=transition.cause,
            level=transition.level,
            began_at=transition.at,
            evidence=transition.evidence,
        )
        alert = Alert(episode=episode, raised_at=self._now, since=self._now)
        self._new.append(alert)
        return self._event(alert, AlertEvent.Kind.OPENED)

    def _worsened(self, alert: Alert, transition: Transition) -> AlertEvent:
        alert.episode.level, alert.episode.evidence = transition.level, transition.evidence
        self._changed_episodes.append(alert.episode)
        self._changed_alerts.append(alert)
        return self._event(alert, AlertEvent.Kind.WORSENED)

    def _ask(self, event: AlertEvent, patient: Patient) -> None:
        """Ask for an answer, unless all that the alert is about is snoozed. A worse state needs a new one, even where
        somebody had answered the milder one."""
        alert = event.alert
        chain = self._care.chain_of(patient, alert.episode.level)
        if (until := covered_until(alert.episode, self._snoozes.get(patient.pk, ()))) is not None:
            state_of(alert, Alert.State.SNOOZED, self._now, chain, until=until)
            self._event(alert, AlertEvent.Kind.SNOOZED, "Raised while it was snoozed: nobody was told.")
            return
        state_of(alert, Alert.State.OPEN, self._now, chain)
        recipients = self._care.responders_of(patient)
        if event.level == Level.SILENT and patient.user_id is not None:
            recipients |= {patient.user_id}
        self._told.append((event, recipients))

    def _back_in_range(self, alert: Alert, patient: Patient, at: datetime) -> AlertEvent:
        alert.episode.ended_at = max(at, alert.episode.began_at)
        self._changed_episodes.append(alert.episode)
        event = self._event(alert, AlertEvent.Kind.ENDED)
        if alert.state == Alert.State.SNOOZED:
            self._close_itself(alert, patient, "Closed by itself: back in range while it was snoozed.")
        elif alert.episode.level == Level.SILENT and alert.state != Alert.State.CLOSED:
            self._close_itself(alert, patient, "Closed by itself: readings come again.")
        elif alert.state == Alert.State.ACKNOWLEDGED:
            self._begin_anew(alert, patient, alert.state)
        return event

    def _close_itself(self, alert: Alert, patient: Patient, why: str) -> None:
        """As `services.alert_close_itself` does."""
        self._begin_anew(alert, patient, Alert.State.CLOSED)
        self._closed.append(alert)
        self._event(alert, AlertEvent.Kind.CLOSED, why)

    def _begin_anew(self, alert: Alert, patient: Patient, state: str) -> None:
        chain = self._care.chain_of(patient, alert.episode.level)
        state_of(alert, state, self._now, chain, held_by=alert.held_by)
        self._changed_alerts.append(alert)

    def _event(self, alert: Alert, kind: AlertEvent.Kind, note: str = "") -> AlertEvent:
        event = event_of(alert, kind, self._now, note=note)
        self._events.append(event)
        return event

    def _write(self) -> None:
        Episode.objects.bulk_create([alert.episode for alert in self._new])
        Alert.objects.bulk_create(self._new)
        Episode.objects.bulk_update(self._changed_episodes, ["level", "evidence", "ended_at"])
        Alert.objects.bulk_update(self._changed_alerts, STATE)
        AlertEvent.objects.bulk_create(self._events)
        if self._closed:
            messages_stop_all(self._closed, "alert closed")
        if self._told:
            tell_all(self._told, self._now)


def _open_alerts(steps: Sequence[tuple[Transition, Patient]]) -> dict[tuple[int, str], Alert]:
    """The alert of each open episode these may be about, by patient and cause, both locked: first episodes, then
    alerts, as everybody does who changes both."""
    episodes = _of_these(steps).filter(ended_at__isnull=True).order_by("pk")
    locked = list(episodes.select_for_update().values_list("pk", flat=True))
    alerts = Alert.objects.filter(episode__in=locked).select_related("episode", "held_by").order_by("pk")
    return {(alert.episode.patient_id, alert.episode.cause): alert for alert in alerts.select_for_update(of=("self",))}


def _ended_episodes(
    steps: Sequence[tuple[Transition, Patient]],
) -> dict[tuple[int, str], list[tuple[datetime, datetime]]]:
    """Beginning and end of the ended episodes that these may repeat, by patient and cause."""
    opened = {transition.at for transition, _ in steps if transition.step == Step.OPENED}
    others = [transition.at for transition, _ in steps if transition.step != Step.OPENED]
    repeated = Q(began_at__in=opened)
    if others:
        repeated |= Q(began_at__lte=max(others), ended_at__gte=min(others))
    ended: dict[tuple[int, str], list[tuple[datetime, datetime]]] = {}
    rows = _of_these(steps).filter(repeated, ended_at__isnull=False)
    for patient, cause, began_at, ended_at in rows.values_list("patient_id", "cause", "began_at", "ended_at"):
        ended.setdefault((patient, cause), []).append((began_at, ended_at))
    return ended


def _of_these(steps: Sequence[tuple[Transition, Patient]]) -> "QuerySet[Episode]":
    patients, causes = {patient.pk for _, patient in steps}, {transition.cause for transition, _ in steps}
    return Episode.objects.filter(patient__in=patients, cause__in=causes)
