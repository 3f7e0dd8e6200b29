"""One step in the life of an alert: the event, who gets a message of it, and the change that open pages hear of."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from portal.accounts.models import User
from portal.accounts.quiet import quiet_until
from portal.alerts.due import Next, next_of
from portal.alerts.models import Alert, AlertEvent, Level, Message
from portal.alerts.recipients import Care, ChainStep, standing_in
from portal.people.models import Change, Patient
from portal.people.services import changes_record

HELD_UP_TO = Level.LOW_MEDIUM  # quiet hours never hold what is more serious


def event_add(
    alert: Alert, kind: AlertEvent.Kind, now: datetime, *, by: User | None = None, note: str = ""
) -> AlertEvent:
    event = event_of(alert, kind, now, by=by, note=note)
    event.save()
    return event


def event_of(
    alert: Alert, kind: AlertEvent.Kind, now: datetime, *, by: User | None = None, note: str = ""
) -> AlertEvent:
    """The event, still to be saved."""
    return AlertEvent(alert=alert, kind=kind, level=alert.episode.level, at=now, by=by, note=note)


STATE = ("state", "since", "steps", "held_by", "next_at")  # the fields that `state_of` sets


def state_set(
    alert: Alert, state: str, now: datetime, *, held_by: User | None = None, until: datetime | None = None
) -> None:
    """Put the alert into a state (also the same one, begun anew) and plan what happens next; a snooze lasts `until`."""
    state_of(alert, state, now, chain_now(alert, now), held_by=held_by, until=until)
    alert.save(update_fields=STATE)


def state_of(
    alert: Alert,
    state: str,
    now: datetime,
    chain: Sequence[ChainStep],
    *,
    held_by: User | None = None,
    until: datetime | None = None,
) -> None:
    """`state_set` of an alert that is still to be saved, with its chain."""
    alert.state, alert.since, alert.steps, alert.held_by, alert.next_at = state, now, 0, held_by, until
    following = next_step(alert, chain)
    alert.next_at = following.at if following else None


def chain_now(alert: Alert, now: datetime) -> list[ChainStep]:
    """How the alert is passed on, by the plan and the care team's steps as they are now."""
    patient = alert.episode.patient
    return Care([patient], now).chain_of(patient, alert.episode.level)


def next_step(alert: Alert, chain: Sequence[ChainStep]) -> Next | None:
    return next_of(
        state=alert.state,
        level=alert.episode.level,
        since=alert.since,
        steps=alert.steps,
        ended_at=alert.episode.ended_at,
        chain=[step.after for step in chain],
        snoozed_until=alert.next_at,
    )


def tell(event: AlertEvent, recipients: Collection[int], now: datetime) -> None:
    tell_all([(event, recipients)], now)


def tell_all(told: Sequence[tuple[AlertEvent, Collection[int]]], now: datetime) -> None:
    """Put a message about each event to each of its users, or to whoever stands in for them, in the outbox.

    Quiet hours hold what can wait until they are over, and the message says so.
    """
    users = standing_in([recipients for _, recipients in told])
    Message.objects.bulk_create(
        _message(event, user, now) for (event, _), group in zip(told, users, strict=True) for user in group
    )


def _message(event: AlertEvent, user: User, now: datetime) -> Message:
    quiet = quiet_until(user.quiet_hours, ZoneInfo(user.time_zone), now) if event.level <= HELD_UP_TO else None
    return Message(
        event=event,
        channel=Message.Channel.EMAIL,
        recipient=user,
        due_at=quiet or now,
        held_because=f"quiet hours: {user.get_quiet_hours_display()}" if quiet else "",
    )


def messages_stop(alert: Alert, why: str) -> None:
    messages_stop_all([alert], why)


def messages_stop_all(alerts: Collection[Alert], why: str) -> None:
    """Stop every message of these alerts that is still to be sent."""
    Message.objects.filter(event__alert__in=alerts, due_at__isnull=False).update(due_at=None, stopped_because=why)


def changed(patient: Patient, event: AlertEvent, now: datetime) -> None:
    changed_all([(patient, event)], now)


def changed_all(events: Iterable[tuple[Patient, AlertEvent]], now: datetime) -> None:
    """Record the changes, organisations in order: their counters stay locked until the commit. Call it last inside
    the transaction (see `change_record`)."""
    of_organisation: dict[int, list[Change]] = {}
    for patient, event in sorted(events, key=lambda pair: (pair[0].organisation_id, pair[1].pk)):
        change = Change(kind=Change.Kind.ALERT, patient=patient, what=event.kind, row=event.alert_id, at=now)
        of_organisation.setdefault(patient.organisation_id, []).append(change)
    for organisation_id, changes in of_organisation.items():
        changes_record(organisation_id, changes)
