"""Writing monitoring plans: every change is a new version, and the old one says until when it held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from portal.alerts.live import announce_after_commit
from portal.alerts.services import episodes_unwatch
from portal.monitoring.models import Plan, PlanContact, PlanLimit, PlanResponder, PlanVital
from portal.people.models import Change, Patient
from portal.people.services import change_record

if TYPE_CHECKING:
    from portal.accounts.models import User


@dataclass(frozen=True, slots=True)
class Bounds:
    """A limit to be: below `low` or above `high`, in the unit of the vital, is out of bounds."""

    low: float | None
    high: float | None
    reason: str
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to call; `relation` is of `PlanContact.Relation`."""

    relation: str
    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a plan says. `vitals`: minutes between readings; `responders`: minutes within which they answer."""

    reason: str
    starts_at: datetime
    ends_at: datetime | None = None
    news2: str = Plan.News2.SCALE_1
    weight_gain: bool = False
    paused_from: datetime | None = None
    paused_to: datetime | None = None
    pause_reason: str = ""
    vitals: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, Bounds] = field(default_factory=dict)
    responders: Sequence[tuple["User", int]] = ()
    contacts: Sequence[Contact] = ()


def plan_write(*, patient: Patient, draft: Draft, author: "User", now: datetime) -> Plan:
    """Put a new version in force from now on. An unchanged limit keeps its author.

    Where the person is not watched before it or after it (paused, ended), open episodes end: see `episodes_unwatch`.
    Raises PermissionDenied unless the author is of the care team (or a superuser), ValidationError if the draft
    contradicts itself.
    """
    _must_be_of_the_team(patient, author)
    with transaction.atomic():
        # Two versions wait for each other. Not FOR UPDATE, which would wait for everybody who records a change.
        Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
        before = Plan.objects.filter(patient=patient, in_force_to__isnull=True).first()
        if before is not None:
            before.in_force_to = now
            before.save(update_fields=["in_force_to"])
        plan = Plan(
            patient=patient,
            version=before.version + 1 if before else 1,
            reason=draft.reason,
            news2=draft.news2,
            weight_gain=draft.weight_gain,
            starts_at=draft.starts_at,
            ends_at=draft.ends_at,
            paused_from=draft.paused_from,
            paused_to=draft.paused_to,
            pause_reason=draft.pause_reason,
            author=author,
            in_force_from=now,
        )
        plan.full_clean(exclude=["patient", "author"])
        plan.save()
        PlanVital.objects.bulk_create(_vitals(plan, draft, before))
        PlanLimit.objects.bulk_create(_limits(plan, draft, before, author))
        PlanResponder.objects.bulk_create(
            PlanResponder(plan=plan, user=user, within_minutes=minutes) for user, minutes in draft.responders
        )
        PlanContact.objects.bulk_create(
            PlanContact(plan=plan, relation=c.relation, name=c.name, phone=c.phone) for c in draft.contacts
        )
        if before is None or not (before.is_active(now) and plan.is_active(now)):
            episodes_unwatch(patient=patient, why=_why_unwatched(plan, now), now=now)
        change_record(
            organisation_id=patient.organisation_id,
            kind=Change.Kind.PLAN,
            patient=patient,
            what="written",
            row=plan.pk,
            now=now,
        )
        announce_after_commit(patient.organisation_id)
    return plan


def plan_pause(*, patient: Patient, reason: str, until: datetime | None, author: "User", now: datetime) -> Plan:
    """Nobody is alerted until `until` (or until it is resumed); the reason is shown wherever the patient is."""
    if not reason.strip():
        raise ValidationError("Say why monitoring is paused, for example “in hospital”.")
    if until is not None and until <= now:
        raise ValidationError("The pause must end in the future.")
    return _again(patient, author, now, paused_from=now, paused_to=until, pause_reason=reason.strip())


def plan_resume(*, patient: Patient, author: "User", now: datetime) -> Plan:
    """Watch again from now on. The version keeps when the pause was: nothing was expected until it ended."""
    plan = Plan.objects.in_force(now).filter(patient=patient).first()
    if plan is None or not plan.is_paused(now):
        raise ValidationError("Monitoring is not paused.")
    return _again(patient, author, now, paused_to=now)


def plan_end(*, patient: Patient, author: "User", now: datetime) -> Plan:
    """End monitoring now. Alerts that are open stay until somebody closes them."""
    return _again(patient, author, now, ends_at=now)


def draft_of(plan: Plan) -> Draft:
    """What a version says, as the draft of the next one."""
    return Draft(
        reason=plan.reason,
        starts_at=plan.starts_at,
        ends_at=plan.ends_at,
        news2=plan.news2,
        weight_gain=plan.weight_gain,
        paused_from=plan.paused_from,
        paused_to=plan.paused_to,
        pause_reason=plan.pause_reason,
        vitals={v.vital: v.due_every_minutes for v in plan.vitals.all()},
        limits={limit.vital: Bounds(limit.low, limit.high, limit.reason, limit.ends_at) for limit in plan.limits.all()},
        responders=[(r.user, r.within_minutes) for r in plan.responders.select_related("user")],
        contacts=[Contact(c.relation, c.name, c.phone) for c in plan.contacts.all()],
    )


def _again(patient: Patient, author: "User", now: datetime, **changes: object) -> Plan:
    plan = Plan.objects.in_force(now).filter(patient=patient).first()
    if plan is None:
        raise ValidationError("There is no plan to change.")
    draft = draft_of(plan)
    values = {name: getattr(draft, name) for name in Draft.__dataclass_fields__}
    return plan_write(patient=patient, draft=Draft(**(values | changes)), author=author, now=now)


def _vitals(plan: Plan, draft: Draft, before: Plan | None) -> list[PlanVital]:
    """The plan's vitals; one that a later version adds is expected from then on, and not since the plan's start."""
    old = {v.vital: v.expected_since for v in before.vitals.all()} if before else {}
    added = plan.in_force_from if before else None
    return [
        PlanVital(plan=plan, vital=vital, due_every_minutes=minutes, expected_since=old.get(vital, added))
        for vital, minutes in draft.vitals.items()
    ]


def _why_unwatched(plan: Plan, now: datetime) -> str:
    if plan.is_paused(now):
        return f"Monitoring is paused: {plan.pause_reason}"
    return "A new period of monitoring has begun" if plan.is_active(now) else "Monitoring has ended"


def _limits(plan: Plan, draft: Draft, before: Plan | None, author: "User") -> list[PlanLimit]:
    old = {limit.vital: limit for limit in before.limits.all()} if before else {}
    limits = []
    for vital, bounds in draft.limits.items():
        same = old.get(vital)
        unchanged = same is not None and Bounds(same.low, same.high, same.reason, same.ends_at) == bounds
        limit = PlanLimit(
            plan=plan,
            vital=vital,
            low=bounds.low,
            high=bounds.high,
            reason=bounds.reason,
            ends_at=bounds.ends_at,
            author=same.author if same is not None and unchanged else author,
        )
        limit.clean_fields(exclude=["plan", "author"])
        limit.clean()
        limits.append(limit)
    return limits


def _must_be_of_the_team(patient: Patient, author: "User") -> None:
    if not author.is_superuser and not (
        author.is_clinician and Patient.objects.visible_to(author).filter(pk=patient.pk).exists()
    ):
        raise PermissionDenied("Only the patient's care team may write the monitoring plan.")
