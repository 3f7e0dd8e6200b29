"""What an alert shows as its reason: values, times, devices, points and the rule, ready for JSON.

The shapes are those of `analytics.episodes.Transition.evidence`; pages, mail and chat read the same object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingestion.vitals import VITALS

NEWS2_RULE = "NEWS2 (RCP 2017)"
LIMIT_RULE = "Plan limit"
PERSONAL_RULE = "Personal range"


@dataclass(frozen=True, slots=True)
class Measured:
    """One value behind a decision. `measured_at` is in microseconds since 1970, UTC."""

    value: float
    measured_at: int
    device_id: str
    points: int | None = None

    def shown(self, vital: str) -> dict[str, Any]:
        kind = VITALS[vital]
        value: float | str | bool = round(self.value, 3)
        if kind.codes:
            value = kind.codes[int(self.value)]
        elif vital == "supplemental_oxygen":
            value = bool(self.value)
        return {
            "value": value,
            "measured_at": rfc3339(self.measured_at),
            "device_id": self.device_id,
            "points": self.points,
        }


def of_news2(
    values: Mapping[str, Measured], *, score: int, inputs: int, scale: int, unconfirmed: bool
) -> dict[str, Any]:
    """Evidence of a NEWS2 score from `inputs` of the seven inputs; `values` are those that were known and fresh."""
    return {
        "rule": f"{NEWS2_RULE}, SpO₂ scale {scale}",
        "score": score,
        "inputs": inputs,
        "partial": inputs < 7,
        "unconfirmed": unconfirmed,
        "values": {vital: value.shown(vital) for vital, value in values.items()},
    }


def of_limit(
    vital: str, value: Measured, *, limit: float | None, direction: str, reason: str, unconfirmed: bool
) -> dict[str, Any]:
    """Evidence of a plan's own limit, `direction` "low" or "high"; `reason` is why the limit was set."""
    return {
        "rule": LIMIT_RULE,
        "limit": limit,
        "direction": direction,
        "reason": reason,
        "unconfirmed": unconfirmed,
        "values": {vital: value.shown(vital)},
    }


@dataclass(frozen=True, slots=True)
class Unusual:
    """One channel of a personal episode: its value over the window, what is usual now, and its share of the alert."""

    value: float
    low: float
    high: float
    share: float


def of_personal(
    *, window: str, days: int, version: str, coverage: float, channels: Mapping[str, Unusual]
) -> dict[str, Any]:
    """Evidence of the personal layer: over `window`, against what `days` days of this person have shown.

    `coverage` is the share of the window that was measured and at rest; the shares of the channels sum to 1.
    """
    return {
        "rule": PERSONAL_RULE,
        "model": version,
        "window": window,
        "days": days,
        "coverage": round(coverage, 2),
        "values": {
            vital: {
                "value": round(unusual.value, 1),
                "usual_low": round(unusual.low, 1),
                "usual_high": round(unusual.high, 1),
                "share": round(unusual.share, 2),
            }
            for vital, unusual in channels.items()
        },
    }


def rfc3339(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat().replace("+00:00", "Z")
