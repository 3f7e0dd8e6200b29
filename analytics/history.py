"""Every question about the past, in one place; charts, API and chat ask here and get the same answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from ingestion import lake as readings
from ingestion.vitals import VITALS


@dataclass(frozen=True, slots=True)
class Series:
    """One vital over a period, down-sampled to at most `points` intervals.

    All arrays have one entry per point: `times` datetime64[us] in UTC; `values` the mean of the interval, `lows` and
    `highs` its extremes, in the unit of the vital. A gap (no reading for longer than a device's expected interval,
    or than three intervals) is one point whose values are NaN, so that a line drawn through them breaks.
    """

    vital: str
    times: np.ndarray
    values: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    count: int  # readings behind it


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
    rows = readings.read(
        lake, organisation=organisation, subject=subject, start=start, end=end, columns=["measured_at", *vitals]
    )
    step = max(int((end - start).total_seconds() * 1e6) // points, 1)
    origin = int(start.timestamp() * 1e6)
    return {vital: _down_sample(vital, rows, origin, step) for vital in vitals}


def _down_sample(vital: str, rows: pa.Table, origin: int, step: int) -> Series:
    column = rows[vital].combine_chunks()
    measured = np.asarray(column.is_valid())
    times = rows["measured_at"].cast(pa.int64()).to_numpy()[measured]
    numbers = column.drop_null().cast(pa.float64()).to_numpy(zero_copy_only=False)
    if len(numbers) == 0:
        none = np.empty(0)
        return Series(vital, np.empty(0, "datetime64[us]"), none, none, none, 0)
    interval = (times - origin) // step
    first = np.flatnonzero(np.r_[True, np.diff(interval) > 0])
    counts = np.diff(np.r_[first, len(numbers)])
    means = np.add.reduceat(numbers, first) / counts
    at = np.add.reduceat(times - origin, first) // counts + origin
    lows, highs = np.minimum.reduceat(numbers, first), np.maximum.reduceat(numbers, first)

    too_long = max(3 * VITALS[vital].expected_s * 1_000_000, 3 * step)
    gaps = np.flatnonzero(np.diff(at) > too_long) + 1
    at = np.insert(at, gaps, at[gaps] - 1)
    means, lows, highs = (np.insert(a, gaps, np.nan) for a in (means, lows, highs))
    return Series(vital, at.astype("datetime64[us]"), means, lows, highs, len(numbers))
