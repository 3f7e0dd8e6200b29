"""Silence: a vital that the plan expects and that does not come.

Judged against the stream's progress, the moment up to which door and watcher are known to have read everything: a late
pipeline is one warning on every board, and never a thousand silent patients.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from analytics.episodes import Level, Step, Transition
from portal.alerts.models import Episode
from portal.devices.models import Assignment
from portal.monitoring.models import Plan
from portal.pipeline.latest import DELAYED_AFTER, Latest, latest_read, latest_since, progress_read

GRACE = 1.5  # times the interval that the plan says, before a vital counts as silent


def silent_transitions(now: datetime) -> list[Transition]:
    """Episodes of silence that open or end, one "silence:all" where every due vital of a person is silent.

    Empty while the stream's progress is unknown or late.
    """
    reached = progress_read()
    if reached is None or now - reached > DELAYED_AFTER:
        return []
    plans = list(Plan.objects.in_force(now).select_related("patient").prefetch_related("vitals"))
    active = [plan for plan in plans if plan.is_active(now) and plan.vitals.all()]
    values = latest_read(plan.patient.subject for plan in active)
    assigned = _assigned_since([plan.patient_id for plan in active])
    known_since = latest_since(now)
    open_now: dict[int, set[str]] = {}
    for patient, cause in Episode.objects.filter(ended_at__isnull=True, cause__startswith="silence:").values_list(
        "patient_id", "cause"
    ):
        open_now.setdefault(patient, set()).add(cause)

    transitions: list[Transition] = []
    for plan in active:
        if plan.patient_id not in assigned:
            continue
        since = max(plan.starts_at, plan.paused_to or plan.starts_at, assigned[plan.patient_id], known_since)
        silent = _silent(plan, values[plan.patient.subject], since, reached)
        transitions += _changes(plan, silent, values[plan.patient.subject], open_now.get(plan.patient_id, set()), now)
    return transitions


def _silent(plan: Plan, values: dict[str, Latest], since: datetime, reached: datetime) -> dict[str, int]:
    """The plan's silent vitals, with the minutes they are due after. An empty bed is not silent."""
    empty_place = (presence := values.get("presence")) is not None and presence.value == 0
    silent = {}
    for due in plan.vitals.all():
        patience = timedelta(minutes=due.due_every_minutes * GRACE)
        last = values.get(due.vital)
        heard = max(since, last.measured_at) if last else since
        if empty_place and presence.measured_at > heard:
            heard = presence.measured_at
        if reached - heard > patience:
            silent[due.vital] = due.due_every_minutes
    return silent


def _changes(
    plan: Plan, silent: dict[str, int], values: dict[str, Latest], open_now: set[str], now: datetime
) -> Iterator[Transition]:
    everything = len(silent) == len(plan.vitals.all())
    wanted = {"silence:all"} if everything else {f"silence:{vital}" for vital in silent}
    for cause in sorted(open_now - wanted):
        # While all is silent, the one alert about it stands for the others; they end when their own vital comes.
        if not (everything and cause != "silence:all"):
            yield Transition(plan.patient.subject, cause, Step.ENDED, Level.SILENT, now, {})
    for cause in sorted(wanted - open_now):
        vital = cause.partition(":")[2]
        last = max((v.measured_at for n, v in values.items() if vital in ("all", n)), default=None)
        evidence = {
            "rule": "Plan schedule",
            "vital": vital,
            "due_every_minutes": min(silent.values()) if everything else silent[vital],
            "last_measured_at": last.astimezone(UTC).isoformat().replace("+00:00", "Z") if last else None,
        }
        yield Transition(plan.patient.subject, cause, Step.OPENED, Level.SILENT, now, evidence)


def _assigned_since(patients: list[int]) -> dict[int, datetime]:
    """Since when each patient has had a device; nobody without one can be silent."""
    rows = Assignment.objects.filter(patient__in=patients, ended_at__isnull=True).values_list(
        "patient_id", "started_at"
    )
    first: dict[int, datetime] = {}
    for patient, started_at in rows:
        first[patient] = min(first.get(patient, started_at), started_at)
    return first
