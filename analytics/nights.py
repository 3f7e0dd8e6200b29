"""A person's nights as numbers: one row a night, one column for each of `analytics.channels.NIGHTLY`.

The night of a day is midnight to six in the person's own time zone; what is counted or measured by day (steps, blood
pressure, glucose) is that of the day before. Made of quarter-hour summaries where days are sealed, else of readings.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from analytics import evidence
from analytics.baseline import usual
from analytics.calibration import own_threshold
from analytics.channels import NIGHTLY
from analytics.history.periods import day_start
from analytics.history.quarters import quarters
from analytics.persistence import statistics
from analytics.population import Population, scores
from ingestion.instants import microseconds

NIGHT = timedelta(hours=6)
LEAST_QUARTERS = 4  # an hour of the night must have been measured
STILL = 20.0  # steps in a quarter of an hour that still is rest
BY_DAY = frozenset({"steps", "systolic", "glucose"})
NAMES = tuple(NIGHTLY)
VITALS = ("heart_rate", *NAMES)  # heart rate stands in where no device tells the resting one
KEPT = 140  # nights that are looked at: 60 scored ones for a threshold of one's own, and what they depend on
RULE = "Personal range, nights"


@dataclass(frozen=True, slots=True)
class Night:
    """What was found of the newest night. `days` are the nights behind what is usual."""

    unusual: bool
    calm: bool  # this night and the one before it are below the threshold
    score: float
    days: int
    evidence: dict[str, object]


def nights(lake: str, *, organisation: str, subject: str, zone: ZoneInfo, last: date, count: int = KEPT) -> np.ndarray:
    """The nights of the `count` days up to `last`, (count, NAMES), oldest first; NaN for not measured.

    In the unit of the channel, its logarithm where `Channel.log` says so.
    """
    first = last - timedelta(days=count - 1)
    found = quarters(
        lake,
        organisation=organisation,
        subject=subject,
        vitals=list(VITALS),
        start=day_start(first - timedelta(days=1), zone).astimezone(UTC),
        end=day_start(last, zone).astimezone(UTC) + NIGHT,
        columns=["count", "total"],
    )
    begins = {v: found[v].begins for v in VITALS}
    totals = {v: found[v].numbers("total") for v in VITALS}
    counts = {v: found[v].numbers("count") for v in VITALS}
    moving = frozenset(begins["steps"][totals["steps"] > STILL].tolist())
    values = np.full((count, len(NAMES)), np.nan)
    for row in range(count):
        day = first + timedelta(days=row)
        start, before = (microseconds(day_start(d, zone)) for d in (day, day - timedelta(days=1)))
        night = (start, start + int(NIGHT.total_seconds() * 1e6))
        for column, name in enumerate(NAMES):
            span = (before, start) if name in BY_DAY else night
            values[row, column] = _value(name, span, begins, totals, counts, moving)
    return _compared(values)


def touched(
    spans: Collection[tuple[datetime, datetime]], *, zone: ZoneInfo, last: date, count: int = KEPT
) -> np.ndarray:
    """Which of the nights that `nights` gives, (count,) bool, one of these times touches, the day before included."""
    days = [last - timedelta(days=count - 1 - row) for row in range(count)]
    begins = np.array([microseconds(day_start(day - timedelta(days=1), zone)) for day in days])
    ends = np.array([microseconds(day_start(day, zone)) for day in days]) + int(NIGHT.total_seconds() * 1e6)
    found = np.zeros(count, bool)
    for begin, end in spans:
        found |= (begins < microseconds(end)) & (microseconds(begin) < ends)
    return found


def _value(
    name: str,
    span: tuple[int, int],
    begins: Mapping[str, np.ndarray],
    totals: Mapping[str, np.ndarray],
    counts: Mapping[str, np.ndarray],
    moving: frozenset[int],
) -> float:
    told = _inside(begins[name], span)
    if name == "steps":
        return float(totals[name][told].sum()) if told.any() else np.nan
    if name == "resting_heart_rate" and not told.any():
        name = "heart_rate"
        told = _inside(begins[name], span)
        told &= np.array([b not in moving for b in begins[name].tolist()], bool)
    means = totals[name][told] / counts[name][told]
    if name in BY_DAY or name in ("resting_heart_rate", "hrv_rmssd"):
        return float(means.mean()) if len(means) else np.nan
    return float(np.median(means)) if len(means) >= LEAST_QUARTERS else np.nan


def _inside(begins: np.ndarray, span: tuple[int, int]) -> np.ndarray:
    inside: np.ndarray = (begins >= span[0]) & (begins < span[1])
    return inside


def _compared(values: np.ndarray) -> np.ndarray:
    """Without what no worn sensor reports, and as logarithms where these are compared."""
    for column, channel in enumerate(NIGHTLY.values()):
        fits = (values[:, column] >= channel.low) & (values[:, column] <= channel.high)
        kept = np.where(fits, values[:, column], np.nan)
        values[:, column] = np.log(kept) if channel.log else kept
    return values


def judge(population: Population, values: np.ndarray, version: str, devices: Sequence[str] = ()) -> Night | None:
    """The newest of a person's nights (nights, NAMES), or None if nothing of it, or of what is usual, is known."""
    scored = scores(population, values, first=0)
    if not np.isfinite(scored[-1]):
        return None
    before = usual(values, np.array([len(values) - 1]), population.prior)
    known = int(before.nights.max())
    if not np.isfinite(before.centre).any():
        return None
    threshold = own_threshold(scored[:-1], population.threshold, population.budget)
    found = statistics(values, np.array([len(values) - 1]), population.prior, population.sign)
    parts = population.scorer.contributions(found)[0]
    parts = np.where(np.isfinite(values[-2:]).any(axis=0), parts, 0)
    share = parts / parts.sum() if parts.sum() > 0 else parts
    channels = {}
    for column, (name, channel) in enumerate(NIGHTLY.items()):
        if share[column] < 0.005:
            continue
        centre, spread = before.centre[0, column], before.spread[0, column]
        shown = [np.nanmean(values[-2:, column]), centre - 2 * spread, centre + 2 * spread]
        value, low, high = (float(np.exp(x)) if channel.log else float(x) for x in shown)
        direction = "high" if population.sign[column] > 0 else "low"
        channels[name] = evidence.Unusual(value, low, high, float(share[column]), direction, ", ".join(devices))
    return Night(
        unusual=bool(scored[-1] >= threshold),
        calm=bool(np.nanmax(scored[-2:]) < threshold),
        score=float(scored[-1]),
        days=known,
        evidence=evidence.of_personal(
            rule=RULE,
            window="2 nights",
            days=known,
            version=version,
            coverage=float(np.isfinite(values[-14:]).any(axis=1).mean()),
            channels=channels,
        ),
    )
