"""Every question about the past, in one place; charts, API and chat ask here and get the same answers.

All functions are pure but for reading the lake, take times with a zone, and answer with dataclasses. Whole quarters of
an hour of sealed days come from summaries, everything else from the readings themselves, so that an answer is always
what a recount of the readings would give (quantiles: to the resolution at which the vital is reported).
"""

from analytics.history.answers import (
    Answer,
    Comparison,
    DeviceUse,
    NoAnswer,
    Statistic,
    aggregate,
    compare,
    coverage,
    devices,
)
from analytics.history.daily import COUNTED, Coverage, Days, daily
from analytics.history.periods import Period
from analytics.history.quarters import Source
from analytics.history.sampling import Series, series

__all__ = [
    "COUNTED",
    "Answer",
    "Comparison",
    "Coverage",
    "Days",
    "DeviceUse",
    "NoAnswer",
    "Period",
    "Series",
    "Source",
    "Statistic",
    "aggregate",
    "compare",
    "coverage",
    "daily",
    "devices",
    "series",
]
