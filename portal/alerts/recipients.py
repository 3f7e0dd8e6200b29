"""Who is told: the plan's responders, then whom the care team's chain names, and whoever stands in for them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from portal.accounts.models import Role, User
from portal.alerts.models import EscalationStep, HandOver, Level
from portal.monitoring.models import Plan
from portal.people.models import Patient


@dataclass(frozen=True, slots=True)
class ChainStep:
    """So long after an alert was raised these users (primary keys) are told; `who` says it in words."""

    after: timedelta
    recipients: frozenset[int]
    who: str


def responders_of(patient: Patient, plan: Plan | None) -> set[int]:
    """The plan's responders who still are of the team; where none is left, the whole team: never nobody."""
    team = _team(patient)
    named = team & set(plan.responders.values_list("user_id", flat=True)) if plan else set()
    return named or team


def chain_of(patient: Patient, plan: Plan | None, level: int) -> list[ChainStep]:
    """How an alert of this level is passed on while nobody answers: first to the whole team, once the time has passed
    within which the plan's first responder should have answered; then as the care team's own steps say.
    """
    steps = []
    promised = min((r.within_minutes for r in plan.responders.all()), default=None) if plan else None
    if promised is not None and level > Level.SILENT:
        steps.append(ChainStep(timedelta(minutes=promised), frozenset(_team(patient)), "everybody in the care team"))
    rows = EscalationStep.objects.filter(care_team=patient.care_team_id, least_level__lte=level)
    for row in rows.select_related("recipient"):
        if row.recipient is None:
            who, recipients = "everybody in the care team", frozenset(_team(patient))
        else:
            who, recipients = row.recipient.get_full_name() or row.recipient.username, frozenset({row.recipient_id})
        steps.append(ChainStep(timedelta(minutes=row.after_minutes), recipients, who))
    return sorted(steps, key=lambda step: step.after)


def standing_in(users: Collection[int]) -> set[int]:
    """These users, each replaced by whoever has their shift now. A circle of hand-overs ends where it began."""
    taken = dict(HandOver.objects.filter(ended_at__isnull=True).values_list("giver_id", "taker_id"))
    return {_last(user, taken) for user in users}


def _last(user: int, taken: dict[int, int]) -> int:
    passed: Iterable[int] = {user}
    while (taker := taken.get(user)) is not None and taker not in passed:
        passed = {*passed, taker}
        user = taker
    return user


def _team(patient: Patient) -> set[int]:
    team = User.objects.filter(care_teams=patient.care_team_id, role=Role.CLINICIAN, is_active=True)
    return set(team.values_list("pk", flat=True))
