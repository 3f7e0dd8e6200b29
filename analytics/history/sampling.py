"""A vital over time, down-sampled for a chart: recent times from readings, long ones from summaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from analytics.history.quarters import QUARTER, Quarters, Source, only_summaries, quarters
from ingestion.instants import microseconds
from ingestion.lake.read import read
from ingestion.lake.summaries import QUARTER_US
from ingestion.lake.tables import READINGS, newest
from ingestion.vitals import VITALS

READINGS_AT_MOST = timedelta(days=8)  # a longer period is drawn from summaries, and so is one that is in the archive


@dataclass(frozen=True, slots=True)
class Series:
    """One vital over a period, down-sampled to at most `points` intervals.

    All arrays have one entry per point: `times` datetime64[us] in UTC; `values` the mean of the interval, `lows` and
    `highs` its extremes, in the unit of the vital. A gap (no reading for longer than three of a device's expected
    intervals, or than three intervals of the chart) is one point whose values are NaN, so that a line breaks there.
    """

    vital: str
    times: np.ndarray
    values: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    count: int  # readings behind it
    interval: timedelta = timedelta()  # what a point stands for
    source: Source = Source.NOTHING


def series(
    lake: str,
    *,
    organisation: str,
    subject: str,
    vitals: Sequence[str],
    start: datetime,
    end: datetime,
    points: int = 600,
) -> dict[str, Series]:
    """Series of one person's vitals over [start, end), both with a time zone. A vital never measured has no points."""
    step = (end - start) / points
    readings = newest(lake, READINGS)
    if end - start <= READINGS_AT_MOST and not only_summaries(
        lake, readings, organisation=organisation, subject=subject, vitals=vitals, start=start, end=end
    ):
        rows = read(
            lake,
            organisation=organisation,
            subject=subject,
            start=start,
            end=end,
            columns=["measured_at", *vitals],
            snapshot=readings,
        )
        return {vital: _from_readings(vital, rows, start, max(step, timedelta(microseconds=1))) for vital in vitals}
    found = quarters(
        lake,
        organisation=organisation,
        subject=subject,
        vitals=vitals,
        start=start,
        end=end,
        columns=["count", "total", "low", "high"],
        readings=readings,
    )
    step = -(-step // QUARTER) * QUARTER
    return {vital: _from_quarters(vital, found[vital], start, end, step) for vital in vitals}


def _from_readings(vital: str, rows: pa.Table, start: datetime, step: timedelta) -> Series:
    column = rows[vital].combine_chunks()
    measured = np.asarray(column.is_valid())
    times = rows["measured_at"].cast(pa.int64()).to_numpy()[measured]
    numbers = column.drop_null().cast(pa.float64()).to_numpy(zero_copy_only=False)
    ones = np.ones(len(numbers), np.int64)
    return _down_sample(vital, times, numbers, numbers, numbers, ones, microseconds(start), step, Source.READINGS)


def _from_quarters(vital: str, found: Quarters, start: datetime, end: datetime, step: timedelta) -> Series:
    """A quarter stands at its middle, but within the period."""
    times = np.clip(found.begins + QUARTER_US // 2, microseconds(start), microseconds(end) - 1)
    origin = microseconds(start) // QUARTER_US * QUARTER_US
    totals, lows, highs = (found.numbers(name) for name in ("total", "low", "high"))
    counts = found.numbers("count").astype(np.int64)
    return _down_sample(vital, times, totals, lows, highs, counts, origin, step, found.source)


def _down_sample(
    vital: str,
    times: np.ndarray,
    totals: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    counts: np.ndarray,
    origin: int,
    step: timedelta,
    source: Source,
) -> Series:
    if len(times) == 0:
        none = np.empty(0)
        return Series(vital, np.empty(0, "datetime64[us]"), none, none, none, 0, step, Source.NOTHING)
    width = step // timedelta(microseconds=1)
    interval = (times - origin) // width
    first = np.flatnonzero(np.r_[True, np.diff(interval) > 0])
    count = np.add.reduceat(counts, first)
    means = np.add.reduceat(totals, first) / count
    at = np.add.reduceat((times - origin) * counts, first) // count + origin
    lows, highs = np.minimum.reduceat(lows, first), np.maximum.reduceat(highs, first)

    too_long = max(3 * VITALS[vital].expected_s * 1_000_000, 3 * width)
    gaps = np.flatnonzero(np.diff(at) > too_long) + 1
    at = np.insert(at, gaps, at[gaps] - 1)
    means, lows, highs = (np.insert(a, gaps, np.nan) for a in (means, lows, highs))
    return Series(vital, at.astype("datetime64[us]"), means, lows, highs, int(counts.sum()), step, source)
