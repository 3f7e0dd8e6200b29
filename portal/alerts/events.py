"""One step in the life of an alert: the event, who gets a message of it, and the change that open pages hear of."""

from collections.abc import Collection, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from portal.accounts.models import User
from portal.accounts.quiet import quiet_until
from portal.alerts.due import Next, next_of
from portal.alerts.models import Alert, AlertEvent, Level, Message
from portal.alerts.recipients import ChainStep, chain_of, standing_in
from portal.monitoring.models import Plan
from portal.people.models import Change, Patient
from portal.people.services import change_record

HELD_UP_TO = Level.LOW_MEDIUM  # quiet hours never hold what is more serious


def event_add(
    alert: Alert, kind: AlertEvent.Kind, now: datetime, *, by: User | None = None, note: str = ""
) -> AlertEvent:
    return AlertEvent.objects.create(alert=alert, kind=kind, level=alert.episode.level, at=now, by=by, note=note)


def state_set(
    alert: Alert, state: str, now: datetime, *, held_by: User | None = None, until: datetime | None = None
) -> None:
    """Put the alert into a state (also the same one, begun anew) and plan what happens next; a snooze lasts `until`."""
    alert.state, alert.since, alert.steps, alert.held_by, alert.next_at = state, now, 0, held_by, until
    following = next_step(alert, chain_now(alert, now))
    alert.next_at = following.at if following else None
    alert.save(update_fields=["state", "since", "steps", "held_by", "next_at"])


def chain_now(alert: Alert, now: datetime) -> list[ChainStep]:
    """How the alert is passed on, by the plan and the care team's steps as they are now."""
    patient = alert.episode.patient
    return chain_of(patient, Plan.objects.in_force(now).filter(patient=patient).first(), alert.episode.level)


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
    """Put a message about the event to each of these users, or to whoever stands in for them, in the outbox.

    Quiet hours hold what can wait until they are over, and the message says so.
    """
    users = User.objects.filter(pk__in=standing_in(recipients)).order_by("pk")
    Message.objects.bulk_create(_message(event, user, now) for user in users)


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
    """Stop every message of the alert that is still to be sent."""
    Message.objects.filter(event__alert=alert, due_at__isnull=False).update(due_at=None, stopped_because=why)


def changed(patient: Patient, event: AlertEvent, now: datetime) -> None:
    """Record the change; call it last inside the transaction (see `change_record`)."""
    change_record(
        organisation_id=patient.organisation_id,
        kind=Change.Kind.ALERT,
        patient=patient,
        what=event.kind,
        row=event.alert_id,
        now=now,
    )
