"""One number about one vital over one period, with what it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np

from analytics.history.daily import COUNTED, Coverage, Days, daily, quantile
from analytics.history.periods import Period
from analytics.history.quarters import Source, quarters
from ingestion.vitals import NUMBERS, VITALS


class NoAnswer(ValueError):
    """The question has no answer; the text says what to ask instead."""


class Statistic(StrEnum):
    """What is asked. Of what is counted over a day (steps, sleep) it is asked of the days' totals, else of readings."""

    MEAN = "mean"
    MEDIAN = "median"
    LOWEST = "lowest"
    HIGHEST = "highest"
    TOTAL = "total"
    COUNT = "count"  # of readings
    DAYS_OVER = "days_over"  # days whose value is above `limit`
    DAYS_UNDER = "days_under"
    HIGHEST_DAY = "highest_day"
    LOWEST_DAY = "lowest_day"
    BEST_DAY = "best_day"
    WORST_DAY = "worst_day"


# Of these one can say which way is better for anybody; of a heart rate or a temperature one cannot.
BETTER_HIGH = frozenset({"steps", "sleep_minutes", "hrv_rmssd", "spo2"})
BETTER_LOW = frozenset({"resting_heart_rate"})
_OF_DAYS = {Statistic.DAYS_OVER, Statistic.DAYS_UNDER}


@dataclass(frozen=True, slots=True)
class Answer:
    """`value` is in `unit`, or None if nothing was measured; `day` is the day that was asked for, if one was."""

    vital: str
    statistic: Statistic
    value: float | None
    unit: str
    period: Period
    count: int  # readings behind it
    coverage: Coverage
    source: Source
    devices: Sequence[str]
    limit: float | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`difference` is second minus first, `percent` of the first; None where one of them has no value."""

    first: Answer
    second: Answer
    difference: float | None
    percent: float | None


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A device that measured the vital in the period, and the first and last local day on which it did."""

    device_id: str
    first_day: date
    last_day: date


def aggregate(
    lake: str,
    *,
    organisation: str,
    subject: str,
    vital: str,
    statistic: Statistic,
    period: Period,
    limit: float | None = None,
) -> Answer:
    """Raises NoAnswer if the question makes no sense for this vital, or lacks its `limit`."""
    if vital not in NUMBERS:
        raise NoAnswer(f"Only numbers can be summed up; choose one of {', '.join(NUMBERS)}.")
    statistic = _which_way(vital, statistic)
    if (statistic in _OF_DAYS) != (limit is not None):
        raise NoAnswer("A limit belongs to the days over or under it, and to nothing else.")
    found = daily(lake, organisation=organisation, subject=subject, vital=vital, period=period)
    value, day = _value(found, statistic, limit)
    unit = {Statistic.COUNT: "readings", Statistic.DAYS_OVER: "days", Statistic.DAYS_UNDER: "days"}
    return Answer(
        vital=vital,
        statistic=statistic,
        value=value,
        unit=unit.get(statistic, VITALS[vital].unit),
        period=period,
        count=int(found.counts.sum()),
        coverage=found.coverage,
        source=found.source,
        devices=found.devices,
        limit=limit,
        day=day,
    )


def compare(
    lake: str,
    *,
    organisation: str,
    subject: str,
    vital: str,
    statistic: Statistic,
    first: Period,
    second: Period,
    limit: float | None = None,
) -> Comparison:
    """The same question about two periods."""
    a, b = (
        aggregate(
            lake,
            organisation=organisation,
            subject=subject,
            vital=vital,
            statistic=statistic,
            period=period,
            limit=limit,
        )
        for period in (first, second)
    )
    if a.value is None or b.value is None:
        return Comparison(a, b, None, None)
    difference = b.value - a.value
    return Comparison(a, b, difference, 100 * difference / a.value if a.value else None)


def coverage(lake: str, *, organisation: str, subject: str, vital: str, period: Period) -> Coverage:
    """How much of the period was measured."""
    return daily(lake, organisation=organisation, subject=subject, vital=vital, period=period).coverage


def devices(lake: str, *, organisation: str, subject: str, vital: str, period: Period) -> list[DeviceUse]:
    """Which devices measured the vital, the one used last first."""
    found = quarters(
        lake,
        organisation=organisation,
        subject=subject,
        vitals=[vital],
        start=period.start,
        end=period.end,
        columns=["devices"],
    )[vital]
    seen: dict[str, tuple[date, date]] = {}
    days = [max(at, period.start).astimezone(period.zone).date() for at in found.table["quarter"].to_pylist()]
    for day, names in zip(days, found.table["devices"].to_pylist(), strict=True):
        for name in names:
            seen[name] = (seen[name][0] if name in seen else day, day)
    uses = [DeviceUse(name, first, last) for name, (first, last) in seen.items()]
    return sorted(uses, key=lambda use: (use.last_day, use.first_day, use.device_id), reverse=True)


def _which_way(vital: str, statistic: Statistic) -> Statistic:
    if statistic not in (Statistic.BEST_DAY, Statistic.WORST_DAY):
        return statistic
    if vital not in BETTER_HIGH | BETTER_LOW:
        label = VITALS[vital].label.lower()
        raise NoAnswer(f"Which {label} is better differs from person to person; ask for the highest or lowest day.")
    high = (vital in BETTER_HIGH) == (statistic is Statistic.BEST_DAY)
    return Statistic.HIGHEST_DAY if high else Statistic.LOWEST_DAY


def _value(found: Days, statistic: Statistic, limit: float | None) -> tuple[float | None, date | None]:
    if len(found.days) == 0:
        return (0.0 if statistic in (Statistic.COUNT, *_OF_DAYS) else None), None
    values = found.values
    counted = found.vital in COUNTED
    match statistic:
        case Statistic.COUNT:
            return float(found.counts.sum()), None
        case Statistic.TOTAL:
            return float(found.totals.sum()), None
        case Statistic.MEAN:
            return float(values.mean() if counted else found.totals.sum() / found.counts.sum()), None
        case Statistic.MEDIAN:
            return float(np.median(values) if counted else quantile(found.histogram, 0.5)), None
        case Statistic.LOWEST:
            return float(values.min() if counted else found.lows.min()), None
        case Statistic.HIGHEST:
            return float(values.max() if counted else found.highs.max()), None
        case Statistic.DAYS_OVER:
            return float((values > limit).sum()), None
        case Statistic.DAYS_UNDER:
            return float((values < limit).sum()), None
        case Statistic.HIGHEST_DAY | Statistic.LOWEST_DAY:
            place = int(values.argmax() if statistic is Statistic.HIGHEST_DAY else values.argmin())
            return float(values[place]), found.days[place]
        case _:
            raise AssertionError(statistic)
