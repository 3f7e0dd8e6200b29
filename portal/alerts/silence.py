"""Silence: a vital that the plan expects and that does not come.

Judged against the stream's progress, the moment up to which door and watcher are known to have read everything: a late
pipeline is one warning on every board, and never a thousand silent patients.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from analytics.episodes import Level, Step, Transition
from portal.alerts.models import Episode
from portal.consent.models import Purpose
from portal.consent.selectors import consenting_since
from portal.devices.models import Assignment
from portal.monitoring.models import Plan
from portal.monitoring.selectors import plans_active
from portal.pipeline.latest import DELAYED_AFTER, Latest, latest_read, latest_since, progress_read

GRACE = 1.5  # times the interval that the plan says, before a vital counts as silent
ALL = "silence:all"


@dataclass(frozen=True, slots=True)
class Due:
    """One vital that a plan expects: since when, how often, and when it last came."""

    vital: str
    every: timedelta
    since: datetime
    last: datetime | None
    device_id: str | None = None
    battery: float | None = None  # of that device, percent

    @property
    def patience(self) -> timedelta:
        return self.every * GRACE

    @property
    def due_at(self) -> datetime:
        return max(self.since, self.last or self.since) + self.every

    def is_silent(self, reached: datetime) -> bool:
        return self.due_at - self.every + self.patience < reached

    def is_heard(self, reached: datetime, within: timedelta) -> bool:
        """Not the opposite of silent: of what was not expected for long enough nothing is known."""
        return self.last is not None and reached - self.last <= within


def silent_transitions(now: datetime) -> list[Transition]:
    """Episodes of silence that open or end. Empty while the stream's progress is unknown or late.

    A vital is silent GRACE times its interval after it last came, or after it could first be expected: the start of
    the plan (or of the version that added it), the end of a pause, the first device, consent, and the last time that
    Redis was emptied. It ends when the vital has come, never because nothing is known.

    If nothing at all came within the patience of the plan's most frequent vital, one "silence:all" is opened instead
    of one for each; it ends when anything comes, and each vital that still does not come then has its own.
    """
    reached = progress_read()
    if reached is None or now - reached > DELAYED_AFTER:
        return []
    plans = [plan for plan in plans_active(now) if plan.vitals.all()]
    consented = consenting_since([plan.patient for plan in plans], Purpose.CARE)
    assigned = _assigned_since([plan.patient_id for plan in plans])
    plans = [plan for plan in plans if plan.patient_id in consented and plan.patient_id in assigned]
    values = latest_read(plan.patient.subject for plan in plans)
    told = _told()
    known_since = latest_since(now)
    transitions: list[Transition] = []
    for plan in plans:
        since = max(_watched_since(plan, now), consented[plan.patient_id], assigned[plan.patient_id], known_since)
        dues = _dues(plan, values[plan.patient.subject], since)
        transitions += _changes(plan.patient.subject, dues, told.get(plan.patient_id, set()), reached, now)
    return transitions


def _dues(plan: Plan, values: Mapping[str, Latest], since: datetime) -> list[Due]:
    presence = values.get("presence")
    dues = []
    for due in plan.vitals.all():
        value = values.get(due.vital)
        last = value.measured_at if value else None
        if value and presence and presence.value == 0 and presence.device_id == value.device_id:
            last = max(value.measured_at, presence.measured_at)  # an empty bed is not a silent one
        expected = max(since, due.expected_since or since)
        device = value.device_id if value else None
        every = timedelta(minutes=due.due_every_minutes)
        dues.append(Due(due.vital, every, expected, last, device, _battery(values, device)))
    return dues


def _battery(values: Mapping[str, Latest], device: str | None) -> float | None:
    battery = values.get("battery")
    return float(battery.value) if battery and battery.device_id == device else None


def _changes(
    subject: str, dues: Collection[Due], told: Collection[str], reached: datetime, now: datetime
) -> Iterator[Transition]:
    shortest = min(due.patience for due in dues)
    heard = [due.last for due in dues if due.last and due.is_heard(reached, shortest)]
    silent = [due for due in dues if due.is_silent(reached)]
    untold = [due for due in silent if _cause(due) not in told]
    if ALL in told and not heard:
        untold = []  # the one alert stands for whatever else falls silent
    elif ALL in told:
        yield Transition(subject, ALL, Step.ENDED, Level.SILENT, max(heard), {})
    elif untold and not told and not heard and len(dues) > 1:
        yield _opened(subject, ALL, untold)
        untold = []
    for due in untold:
        yield _opened(subject, _cause(due), [due])

    expected = {_cause(due): due for due in dues}
    for cause in sorted(set(told) - {ALL}):
        if cause not in expected:
            yield Transition(subject, cause, Step.ENDED, Level.SILENT, now, {})
        elif (last := expected[cause].last) and expected[cause].is_heard(reached, expected[cause].patience):
            yield Transition(subject, cause, Step.ENDED, Level.SILENT, last, {})


def _opened(subject: str, cause: str, silent: Collection[Due]) -> Transition:
    newest = max(silent, key=lambda due: due.last or datetime.min.replace(tzinfo=UTC))
    last = newest.last
    evidence = {
        "rule": "Plan schedule",
        "vital": cause.partition(":")[2],
        "due_every_minutes": min(due.every for due in silent) // timedelta(minutes=1),
        "last_measured_at": last.astimezone(UTC).isoformat().replace("+00:00", "Z") if last else None,
        "device_id": newest.device_id,
        "battery": newest.battery,
    }
    return Transition(subject, cause, Step.OPENED, Level.SILENT, max(due.due_at for due in silent), evidence)


def _cause(due: Due) -> str:
    return f"silence:{due.vital}"


def _watched_since(plan: Plan, now: datetime) -> datetime:
    resumed = plan.paused_to if plan.paused_to and plan.paused_to <= now else plan.starts_at
    return max(plan.starts_at, resumed)


def _told() -> dict[int, set[str]]:
    """The open episodes of silence by patient: what the team has been told already."""
    told: dict[int, set[str]] = {}
    rows = Episode.objects.filter(ended_at__isnull=True, cause__startswith="silence:")
    for patient, cause in rows.values_list("patient_id", "cause"):
        told.setdefault(patient, set()).add(cause)
    return told


def _assigned_since(patients: Collection[int]) -> dict[int, datetime]:
    """Since when each patient has had a device; nobody without one can be silent."""
    rows = Assignment.objects.filter(patient__in=patients, ended_at__isnull=True)
    first: dict[int, datetime] = {}
    for patient, started_at in rows.values_list("patient_id", "started_at"):
        first[patient] = min(first.get(patient, started_at), started_at)
    return first
