"""Handing a shift over: one act, seen by everybody of the team, until it is taken back."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction

from portal.accounts.models import Role, User
from portal.alerts.events import changed, event_add, state_set
from portal.alerts.live import announce_after_commit
from portal.alerts.models import Alert, AlertEvent, HandOver
from portal.people.models import CareTeam

if TYPE_CHECKING:
    from django.db.models import QuerySet


def colleagues_of(user: User) -> "QuerySet[User]":
    """Who may take this clinician's shift: the other clinicians of all the teams she belongs to."""
    others = User.objects.filter(role=Role.CLINICIAN, is_active=True).exclude(pk=user.pk)
    for team in CareTeam.objects.filter(members=user):
        others = others.filter(care_teams=team)
    return others.order_by("first_name", "username").distinct()


def shift_hand_over(*, giver: User, taker: User, note: str, now: datetime) -> HandOver:
    """From now on `taker` gets the giver's messages and holds the alerts that the giver had acknowledged.

    Raises ValidationError if the taker is not of all the giver's teams, or the shift is in other hands already.
    """
    if not colleagues_of(giver).filter(pk=taker.pk).exists():
        raise ValidationError("Choose a colleague who is in all of your care teams.")
    with transaction.atomic():
        if HandOver.objects.filter(giver=giver, ended_at__isnull=True).exists():
            raise ValidationError("Your shift is handed over already: take it back first.")
        handed = HandOver.objects.create(giver=giver, taker=taker, note=note.strip(), began_at=now)
        held = Alert.objects.select_for_update(of=("self",)).select_related("episode__patient")
        events = []
        for alert in held.filter(held_by=giver, state=Alert.State.ACKNOWLEDGED).order_by("pk"):
            state_set(alert, alert.state, now, held_by=taker)
            what = f"To {taker.get_full_name() or taker.username}. {note.strip()}".strip()
            event = event_add(alert, AlertEvent.Kind.HANDED_OVER, now, by=giver, note=what)
            events.append((alert.episode.patient, event))
        for patient, event in events:
            changed(patient, event, now)
        if giver.organisation_id is not None:
            announce_after_commit(giver.organisation_id)
    return handed


def shift_take_back(*, giver: User, now: datetime) -> None:
    """End the hand-over; alerts that the taker holds stay with the taker. Raises ValidationError if there is none."""
    if not HandOver.objects.filter(giver=giver, ended_at__isnull=True).update(ended_at=now):
        raise ValidationError("Your shift is in nobody else's hands.")
    if giver.organisation_id is not None:
        announce_after_commit(giver.organisation_id)


def hand_overs_of(user: User) -> "QuerySet[HandOver]":
    """The hand-overs in force in this clinician's teams."""
    teams = CareTeam.objects.filter(members=user)
    return (
        HandOver.objects.filter(ended_at__isnull=True, giver__care_teams__in=teams)
        .select_related("giver", "taker")
        .distinct()
    )
