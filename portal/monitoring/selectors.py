"""Plans as they are in force."""

from collections.abc import Collection
from datetime import datetime

from portal.monitoring.models import Plan
from portal.people.models import Patient


def plan_of(patient: Patient, now: datetime) -> Plan | None:
    """The version in force, with its vitals, limits and responders; None if this person has no plan."""
    plans = Plan.objects.in_force(now).filter(patient=patient).select_related("author")
    return plans.prefetch_related("vitals", "limits__author", "responders__user", "contacts").first()


def plans_active(now: datetime) -> list[Plan]:
    """The plans of everybody who is being watched, with patient and vitals, in a fixed number of queries."""
    plans = Plan.objects.in_force(now).select_related("patient").prefetch_related("vitals")
    return [plan for plan in plans if plan.is_active(now)]


def plans_of(patients: Collection[Patient], now: datetime) -> dict[int, Plan]:
    """The version in force by the patient's primary key, in a fixed number of queries."""
    plans = Plan.objects.in_force(now).filter(patient__in=[p.pk for p in patients])
    return {plan.patient_id: plan for plan in plans.prefetch_related("vitals", "limits")}
