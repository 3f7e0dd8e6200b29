"""A vital day by day, in the days of a time zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from analytics.history.periods import Period, day_start
from analytics.history.quarters import Quarters, Source, quarters
from ingestion.instants import microseconds
from ingestion.lake.summaries import resolution
from ingestion.vitals import VITALS

# What is counted over a day: its value of a day is the total. Of everything else it is the mean.
COUNTED = frozenset({"steps", "sleep_minutes"})


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a period was measured. `share` (0 to 1) is the mean over its days of the minutes with a reading
    against those that a device of this kind is expected to report in the part of the day that the period has."""

    days: int
    days_measured: int
    minutes: int
    share: float


@dataclass(frozen=True, slots=True)
class Days:
    """One vital over the days of a period; all sequences have one entry for each day with a reading, in order.

    `means`, `lows`, `highs`, `totals` and `medians` are in the unit of the vital; `counts` are readings; `minutes` are
    minutes with a reading. A day that the period cuts is there with the part that lies in it.
    """

    vital: str
    period: Period
    days: Sequence[date]
    counts: np.ndarray
    totals: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    medians: np.ndarray
    minutes: np.ndarray
    coverage: Coverage
    source: Source
    devices: Sequence[str]
    histogram: tuple[np.ndarray, np.ndarray]  # of the whole period: values (ascending), how often each

    @property
    def means(self) -> np.ndarray:
        means: np.ndarray = self.totals / self.counts
        return means

    @property
    def values(self) -> np.ndarray:
        """What stands for a day: the total of what is counted, else the mean."""
        return self.totals if self.vital in COUNTED else self.means


def daily(lake: str, *, organisation: str, subject: str, vital: str, period: Period) -> Days:
    """A number vital day by day."""
    found = quarters(
        lake,
        organisation=organisation,
        subject=subject,
        vitals=[vital],
        start=period.start,
        end=period.end,
        columns=["count", "total", "low", "high", "minutes", "steps", "times", "devices"],
    )[vital]
    return _by_day(vital, period, found)


def _by_day(vital: str, period: Period, found: Quarters) -> Days:
    calendar = period.days
    bounds = np.array([microseconds(day_start(day, period.zone)) for day in calendar], np.int64)
    # The period may begin within a quarter, which still begins in the day before: it is the first day's.
    of_day = np.maximum(np.searchsorted(bounds, found.begins, side="right") - 1, 0)
    first = np.flatnonzero(np.r_[True, np.diff(of_day) > 0]) if len(of_day) else np.empty(0, np.int64)
    measured = [calendar[i] for i in of_day[first].tolist()]
    counts, minutes = (_added(found.numbers(n).astype(np.int64), first) for n in ("count", "minutes"))
    histograms = [
        _histogram(found.table.slice(a, b - a), vital)
        for a, b in zip(first.tolist(), [*first[1:].tolist(), len(of_day)], strict=False)
    ]
    return Days(
        vital=vital,
        period=period,
        days=measured,
        counts=counts,
        totals=_added(found.numbers("total"), first),
        lows=np.minimum.reduceat(found.numbers("low"), first) if len(first) else np.empty(0),
        highs=np.maximum.reduceat(found.numbers("high"), first) if len(first) else np.empty(0),
        medians=np.array([quantile(h, 0.5) for h in histograms]),
        minutes=minutes,
        coverage=_coverage(vital, period, dict(zip(measured, minutes.tolist(), strict=True))),
        source=found.source,
        devices=sorted(set(_flat(found.table["devices"]).unique().to_pylist())),
        histogram=_histogram(found.table, vital),
    )


def _added(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    added: np.ndarray = np.add.reduceat(values, first) if len(first) else values[:0]
    return added


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.compute.list_flatten(column).combine_chunks()


def _histogram(table: pa.Table, vital: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of the histograms of all rows together, and how often each was measured."""
    steps, place = np.unique(_flat(table["steps"]).to_numpy(), return_inverse=True)
    times = np.zeros(len(steps), np.int64)
    np.add.at(times, place, _flat(table["times"]).to_numpy())
    return steps * resolution(vital), times


def quantile(histogram: tuple[np.ndarray, np.ndarray], share: float) -> float:
    """The value below which this share of the readings lies, to the vital's resolution; NaN of nothing.

    Between two readings the value is interpolated, as `statistics.quantiles(method="inclusive")` does.
    """
    values, times = histogram
    if len(values) == 0:
        return float("nan")
    ends = np.cumsum(times)
    place = share * (int(ends[-1]) - 1)
    below, above = (values[np.searchsorted(ends, int(p), side="right")] for p in (np.floor(place), np.ceil(place)))
    return float(below + (above - below) * (place - np.floor(place)))


def _coverage(vital: str, period: Period, minutes: dict[date, int]) -> Coverage:
    shares = []
    for day in period.days:
        begin = max(day_start(day, period.zone), period.start)
        end = min(day_start(day + timedelta(days=1), period.zone), period.end)
        expected = max((end - begin) / timedelta(seconds=max(VITALS[vital].expected_s, 60)), 1.0)
        shares.append(min(minutes.get(day, 0) / expected, 1.0))
    total = sum(minutes.values())
    return Coverage(len(shares), len(minutes), total, sum(shares) / len(shares) if shares else 0.0)
