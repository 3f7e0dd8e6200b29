"""A vital over time as a table: for those who do not see the chart, and for pages without JavaScript."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from analytics.history import Series
from ingestion.vitals import VITALS
from portal.charts.periods import Period
from portal.charts.selectors import history_of
from portal.people.models import Patient

ROWS = 24


@dataclass(frozen=True, slots=True)
class Row:
    """Up to one ROWS-th of the period: its mean time (aware, UTC), and lowest, mean and highest value as text."""

    at: datetime
    low: str
    mean: str
    high: str


@dataclass(frozen=True, slots=True)
class Table:
    summary: str
    rows: list[Row]


def tables_of(patient: Patient, vitals: Sequence[str], period: Period) -> list[Table]:
    history = history_of(patient, vitals, period, points=ROWS)
    return [table(history[vital]) for vital in vitals]


def table(series: Series) -> Table:
    """A gap has no row: the times say it."""
    vital = VITALS[series.vital]
    stamps = series.times.astype("datetime64[us]").astype("int64") / 1e6
    columns = zip(stamps.tolist(), series.lows.tolist(), series.values.tolist(), series.highs.tolist(), strict=True)
    rows = [
        Row(datetime.fromtimestamp(at, UTC), *(f"{x:.{vital.decimals}f}" for x in values))
        for at, *values in columns
        if not np.isnan(values[1])
    ]
    return Table(summary(series), rows)


def summary(series: Series) -> str:
    """The period in one sentence."""
    vital = VITALS[series.vital]
    if series.count == 0:
        return "No readings in this period."
    low, high = (f"{x:.{vital.decimals}f}" for x in (np.nanmin(series.lows), np.nanmax(series.highs)))
    readings = "reading" if series.count == 1 else "readings"
    return f"{series.count:,} {readings}, from {low} to {high} {vital.unit}."
