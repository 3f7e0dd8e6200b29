"""A vital over time as a Plotly figure: the mean as a line, the extremes as a band, the plan's limits as dashes.

The figure has no colours: traces and shapes have names, and the page colours them by its style sheet, light or dark.
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import plotly.graph_objects as go

from analytics.history import Series
from ingestion.vitals import VITALS

LEAST_SPAN = np.timedelta64(30, "m")


def figure(series: Series, *, zone: ZoneInfo, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """The figure as plain JSON, times in `zone`; a gap (NaN) breaks the line."""
    vital = VITALS[series.vital]
    times = local(series.times, zone)
    drawn = go.Figure()
    if len(times):
        drawn.add_scatter(
            x=times, y=_numbers(series.highs), mode="lines", line={"width": 0}, hoverinfo="skip", name="edge"
        )
        drawn.add_scatter(
            x=times,
            y=_numbers(series.lows),
            mode="lines",
            line={"width": 0},
            fill="tonexty",
            hoverinfo="skip",
            name="band",
        )
        drawn.add_scatter(
            x=times,
            y=_numbers(series.values),
            mode="lines+markers" if len(times) < 40 else "lines",
            line={"width": 2},
            marker={"size": 5},
            name="mean",
            hovertemplate=f"%{{y:.{vital.decimals}f}} {vital.unit}<br>%{{x|%-d %b %H:%M}}<extra></extra>",
        )
    for edge in (low, high):
        if edge is not None:
            drawn.add_hline(y=edge, line={"dash": "dash", "width": 1.5}, name="limit")
    drawn.update_layout(
        template="none",
        showlegend=False,
        margin={"l": 48, "r": 12, "t": 8, "b": 32},
        height=220,
        font={"size": 12, "family": "system-ui, sans-serif"},
        xaxis={"zeroline": False, "type": "date", "range": _range(series.times, zone)},
        yaxis={"zeroline": False, "title": {"text": vital.unit}},
        hovermode="closest",
    )
    figure: dict[str, Any] = drawn.to_plotly_json()
    figure["layout"].pop("template", None)
    return {"data": [dict(trace) for trace in figure["data"]], "layout": figure["layout"]}


def _range(times: np.ndarray, zone: ZoneInfo) -> list[str] | None:
    """What the axis shows where the readings lie so close together that its ticks would be parts of a second."""
    if not len(times) or times[-1] - times[0] >= LEAST_SPAN:
        return None
    middle = times[0] + (times[-1] - times[0]) // 2
    return local(np.array([middle - LEAST_SPAN // 2, middle + LEAST_SPAN // 2]), zone)


def local(times: np.ndarray, zone: ZoneInfo) -> list[str]:
    """UTC times as local wall-clock text, without an offset, as Plotly draws them."""
    stamps = times.astype("datetime64[us]").astype("int64") / 1e6
    return [datetime.fromtimestamp(s, UTC).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S") for s in stamps.tolist()]


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 2) for v in values]
