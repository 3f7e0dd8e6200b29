"""Alarm burden: how many alerts a team gets for the people it watches, and what becomes of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import QuerySet

from portal.accounts.models import User
from portal.alerts.models import Alert, AlertEvent, Response
from portal.monitoring.models import Plan
from portal.people.models import Patient

DAY = timedelta(days=1)
RULES = {
    "news2": "NEWS2",
    "limit": "Plan limits",
    "gain": "Weight gain",
    "silence": "No data",
    "personal": "Personal range",
}


@dataclass(frozen=True, slots=True)
class Burden:
    """Figures of one rule (and model version) over a period, or of all. None where there is nothing to divide by.

    `per_patient_day` counts alerts per person and day watched; `acted_on` is the share of answered alerts after which
    something was done, `useful` the share of closed ones that somebody called useful; `to_acknowledge` the median time
    from the alert to the first answer of a person.
    """

    label: str
    alerts: int
    per_patient_day: float | None
    answered: float | None
    acted_on: float | None
    useful: float | None
    to_acknowledge: timedelta | None


def burden_of(user: User, start: datetime, end: datetime) -> tuple[float, list[Burden]]:
    """Patient-days watched during [start, end), and the burden by rule and model version, the sum first."""
    patients = Patient.objects.visible_to(user)
    days = patient_days(patients, start, end)
    alerts = list(
        Alert.objects.visible_to(user)
        .filter(raised_at__gte=start, raised_at__lt=end)
        .select_related("episode", "response")
        .order_by("pk")
    )
    first = _first_answers(alerts)
    groups: dict[str, list[Alert]] = {}
    for alert in alerts:
        groups.setdefault(rule_of(alert), []).append(alert)
    rows = [_burden("All rules", alerts, first, days)]
    return days, rows + [_burden(label, groups[label], first, days) for label in sorted(groups)]


def rule_of(alert: Alert) -> str:
    """The rule behind an alert, with the model's version where a model decided."""
    label = RULES.get(alert.episode.cause.partition(":")[0], alert.episode.cause)
    version = alert.episode.evidence.get("model")
    return f"{label}, model {version}" if version else label


def patient_days(patients: "QuerySet[Patient]", start: datetime, end: datetime) -> float:
    """How many days these people were watched by an active plan during [start, end)."""
    watched = timedelta()
    for plan in Plan.objects.filter(patient__in=patients, in_force_from__lt=end).exclude(in_force_to__lte=start):
        begin = max(start, plan.in_force_from, plan.starts_at)
        finish = min(x for x in (end, plan.in_force_to, plan.ends_at) if x is not None)
        length = max(finish - begin, timedelta())
        if plan.paused_from is not None:
            pause = min(plan.paused_to or finish, finish) - max(plan.paused_from, begin)
            length -= max(pause, timedelta())
        watched += max(length, timedelta())
    return watched / DAY


def _first_answers(alerts: Iterable[Alert]) -> dict[int, datetime]:
    events = AlertEvent.objects.filter(alert__in=[a.pk for a in alerts], by__isnull=False).order_by("-pk")
    return dict(events.values_list("alert_id", "at"))  # of the same alert the earliest comes last and stays


def _burden(label: str, alerts: list[Alert], first: dict[int, datetime], days: float) -> Burden:
    responses = [a.response for a in alerts if hasattr(a, "response")]
    waits = [first[a.pk] - a.raised_at for a in alerts if a.pk in first]
    acted = sum(r.outcome != Response.Outcome.NOTHING for r in responses)
    return Burden(
        label=label,
        alerts=len(alerts),
        per_patient_day=len(alerts) / days if days else None,
        answered=len(waits) / len(alerts) if alerts else None,
        acted_on=acted / len(responses) if responses else None,
        useful=sum(r.useful for r in responses) / len(responses) if responses else None,
        to_acknowledge=median(waits) if waits else None,
    )
