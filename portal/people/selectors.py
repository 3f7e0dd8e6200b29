"""A patient as a page shows one: newest values with their age, the score of the fresh ones, plan, alerts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from analytics.episodes import Level
from analytics.limits import INPUTS, News2, news2
from ingestion.vitals import VITALS
from portal.alerts.models import Alert
from portal.alerts.selectors import open_alerts_of
from portal.alerts.wording import plain_label, value_text
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.monitoring.models import Plan
from portal.monitoring.selectors import plans_of
from portal.people.models import Patient
from portal.pipeline.latest import Latest, latest_read, redis_may_fail

if TYPE_CHECKING:
    from portal.accounts.models import User

# The columns of the board, with their short labels.
BOARD_VITALS = {
    "heart_rate": "Heart rate",
    "spo2": "SpO₂",
    "respiratory_rate": "Respiration",
    "temperature": "Temperature",
    "systolic": "Blood pressure",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One vital on a page.

    `text` is empty where nothing was ever measured; `stale` says that it is not the present, `due` that the plan asks
    for it.
    """

    vital: str
    label: str
    text: str = ""
    unit: str = ""
    measured_at: datetime | None = None
    device_id: str = ""
    stale: bool = False
    points: int | None = None
    due: bool = False

    @property
    def short(self) -> str:
        return BOARD_VITALS.get(self.vital, self.label)

    @property
    def plain(self) -> str:
        return self.label if self.vital == "systolic" else plain_label(self.vital)


@dataclass(slots=True)
class Bedside:
    """Everything a page says about one patient now."""

    patient: Patient
    age: int
    plan: Plan | None
    consented: bool
    watched: bool
    paused: bool
    alerts: list[Alert] = field(default_factory=list)
    values: list[Shown] = field(default_factory=list)
    score: News2 | None = None
    heard_at: datetime | None = None

    @property
    def level(self) -> int:
        """The most serious level of the alerts that are not closed."""
        return max((alert.episode.level for alert in self.alerts), default=int(Level.NONE))

    @property
    def unanswered(self) -> list[Alert]:
        return [alert for alert in self.alerts if alert.state == Alert.State.OPEN]

    @property
    def no_data(self) -> bool:
        """Nothing that is fresh enough to say how this person is: never to be shown as fine."""
        return self.consented and (not self.values or all(v.stale or not v.text for v in self.values))

    def risk(self) -> tuple[object, ...]:
        """Sorts the board: unanswered alerts, then open ones, then the score, then no data, then the name."""
        return (
            -max((a.episode.level for a in self.unanswered), default=0),
            -self.level,
            -(self.score.level if self.score else 0),
            -(self.score.score if self.score else 0),
            not (self.no_data and self.watched),
            not self.watched,
            self.patient.name,
        )


def board_of(user: "User", now: datetime) -> list[Bedside]:
    """The patients of this user in order of risk; a fixed number of queries and one round trip to Redis."""
    patients = Patient.objects.visible_to(user).select_related("care_team").distinct()
    return sorted(bedsides(patients, now), key=Bedside.risk)


def bedsides(patients: Iterable[Patient], now: datetime, vitals: Iterable[str] = BOARD_VITALS) -> list[Bedside]:
    """What is known of these patients now. Nothing measured is shown of somebody who has withdrawn consent to care.

    Without Redis everybody is without data; alerts and plans, which are in the database, are there.
    """
    patients = list(patients)
    alerts, plans = open_alerts_of(patients), plans_of(patients, now)
    consented = consenting(patients, Purpose.CARE)
    latest: dict[str, dict[str, Latest]] = {}
    with redis_may_fail():
        latest = latest_read(p.subject for p in patients)
    return [
        _bedside(p, plans.get(p.pk), p.pk in consented, alerts.get(p.pk, []), latest.get(p.subject, {}), vitals, now)
        for p in patients
    ]


def _bedside(
    patient: Patient,
    plan: Plan | None,
    consented: bool,
    alerts: list[Alert],
    latest: dict[str, Latest],
    vitals: Iterable[str],
    now: datetime,
) -> Bedside:
    bedside = Bedside(
        patient=patient,
        age=_years(patient.birth_date, now.date()),
        plan=plan,
        consented=consented,
        watched=plan is not None and plan.is_active(now),
        paused=plan is not None and plan.is_paused(now),
        alerts=alerts,
    )
    if not consented:
        return bedside
    fresh = {name: v.value for name, v in latest.items() if is_fresh(name, v, now)}
    scale = 2 if plan is not None and plan.news2 == Plan.News2.SCALE_2 else 1
    if (plan is None or plan.news2 != Plan.News2.OFF) and any(name in INPUTS for name in fresh):
        bedside.score = news2({name: value for name, value in fresh.items() if name in INPUTS}, scale)
    due = {v.vital for v in plan.vitals.all()} if plan else set()
    bedside.values = [_shown(name, latest, bedside.score, name in due, now) for name in vitals]
    bedside.heard_at = max((v.measured_at for v in latest.values()), default=None)
    return bedside


def is_fresh(vital: str, value: Latest, now: datetime) -> bool:
    return (now - value.measured_at).total_seconds() <= VITALS[vital].max_age_s


def _shown(vital: str, latest: dict[str, Latest], score: News2 | None, due: bool, now: datetime) -> Shown:
    kind = VITALS[vital]
    label = "Blood pressure" if vital == "systolic" else kind.label
    if (value := latest.get(vital)) is None:
        return Shown(vital, label, unit=kind.unit, due=due)
    text = value_text(vital, value.value).removesuffix(kind.unit).strip()
    if vital == "systolic" and (lower := latest.get("diastolic")) and lower.measured_at == value.measured_at:
        text = f"{text}/{float(lower.value):.0f}"
    return Shown(
        vital,
        label,
        text,
        kind.unit,
        value.measured_at,
        value.device_id,
        stale=not is_fresh(vital, value, now),
        points=score.points.get(vital) if score else None,
        due=due,
    )


def _years(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
