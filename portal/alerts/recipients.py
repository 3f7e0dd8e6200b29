"""Who is told: the plan's responders, then whom the care team's chain names, and whoever stands in for them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from portal.accounts.models import Role, User
from portal.alerts.models import EscalationStep, HandOver, Level
from portal.monitoring.models import Plan
from portal.people.models import CareTeam, Patient


@dataclass(frozen=True, slots=True)
class ChainStep:
    """So long after an alert was raised these users (primary keys) are told; `who` says it in words."""

    after: timedelta
    recipients: frozenset[int]
    who: str


class Care:
    """The plans and teams of some patients as they are at `now`.

    Each part is read when it is first asked for, for all of these patients at once: an alert storm takes as many
    queries as one alert.
    """

    def __init__(self, patients: Iterable[Patient], now: datetime) -> None:
        self._patients = list(patients)
        self._now = now

    @cached_property
    def plans(self) -> dict[int, Plan]:
        """The version in force by the patient's primary key, with its responders."""
        plans = Plan.objects.in_force(self._now).filter(patient__in=[p.pk for p in self._patients])
        return {plan.patient_id: plan for plan in plans.prefetch_related("responders")}

    def responders_of(self, patient: Patient) -> set[int]:
        """The plan's responders who still are of the team; where none is left, the whole team: never nobody."""
        plan, team = self.plans.get(patient.pk), self._team(patient)
        named = team & {r.user_id for r in plan.responders.all()} if plan else set()
        return named or set(team)

    def chain_of(self, patient: Patient, level: int) -> list[ChainStep]:
        """How an alert of this level is passed on while nobody answers: first to the whole team, once the time has
        passed within which the plan's first responder should have answered; then as the care team's own steps say.
        """
        everybody, words = self._team(patient), "everybody in the care team"
        plan = self.plans.get(patient.pk)
        promised = min((r.within_minutes for r in plan.responders.all()), default=None) if plan else None
        steps = []
        if promised is not None and level > Level.SILENT:
            steps.append(ChainStep(timedelta(minutes=promised), everybody, words))
        for row in self._steps.get(patient.care_team_id, ()):
            if row.least_level > level:
                continue
            who, recipients = words, everybody
            if row.recipient is not None:
                who = row.recipient.get_full_name() or row.recipient.username
                recipients = frozenset({row.recipient_id})
            steps.append(ChainStep(timedelta(minutes=row.after_minutes), recipients, who))
        return sorted(steps, key=lambda step: step.after)

    def _team(self, patient: Patient) -> frozenset[int]:
        return frozenset(self._teams.get(patient.care_team_id, ()))

    @cached_property
    def _teams(self) -> dict[int, list[int]]:
        """The clinicians of each care team."""
        rows = CareTeam.members.through.objects.filter(
            careteam__in={p.care_team_id for p in self._patients}, user__role=Role.CLINICIAN, user__is_active=True
        )
        teams: dict[int, list[int]] = {}
        for team, user in rows.values_list("careteam_id", "user_id"):
            teams.setdefault(team, []).append(user)
        return teams

    @cached_property
    def _steps(self) -> dict[int, list[EscalationStep]]:
        """The steps of each care team, in order."""
        rows = EscalationStep.objects.filter(care_team__in={p.care_team_id for p in self._patients})
        steps: dict[int, list[EscalationStep]] = {}
        for row in rows.select_related("recipient"):
            steps.setdefault(row.care_team_id, []).append(row)
        return steps


def standing_in(told: Iterable[Collection[int]]) -> list[list[User]]:
    """For each of these groups its users, each replaced by whoever has their shift now, in order of primary keys.

    A circle of hand-overs ends where it began.
    """
    taken = dict(HandOver.objects.filter(ended_at__isnull=True).values_list("giver_id", "taker_id"))
    wanted = [{_last(user, taken) for user in group} for group in told]
    users = User.objects.in_bulk(set().union(*wanted))
    return [[users[pk] for pk in sorted(group) if pk in users] for group in wanted]


def _last(user: int, taken: dict[int, int]) -> int:
    passed: Iterable[int] = {user}
    while (taker := taken.get(user)) is not None and taker not in passed:
        passed = {*passed, taker}
        user = taker
    return user
