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
        "scale": scale,
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
class Concern:
    """One thing an episode is about: a vital and the direction it left its range in, "low" or "high" (a number),
    "given" or "changed" (oxygen, consciousness), "silent". `points` are its NEWS2 points, None where none apply."""

    vital: str
    direction: str
    points: int | None = None


# NEWS2's bands that score 0 begin here (RCP 2017): what scores and lies below is too low, what lies above too high.
_NORMAL_FROM = {"respiratory_rate": 12, "systolic": 111, "heart_rate": 51, "temperature": 36.05}
_TARGET_TO = {1: 100, 2: 92}  # SpO2 by scale: only scale 2, on oxygen, scores what is too high


def concerns(cause: str, evidence: Mapping[str, Any]) -> list[Concern]:
    """What an episode of this cause with this evidence is about; the vitals of a NEWS2 score are those with points."""
    kind, _, rest = cause.partition(":")
    if kind == "silence":
        return [Concern(rest, "silent")]
    if kind == "news2":
        scored = ((vital, value) for vital, value in evidence["values"].items() if value["points"])
        scale = evidence.get("scale", 1)
        return [Concern(vital, _direction(vital, value["value"], scale), value["points"]) for vital, value in scored]
    if kind == "personal":
        return [Concern(channel, value["direction"]) for channel, value in evidence["values"].items()]
    vital, _, direction = rest.partition(":")
    return [Concern(vital, direction)]


def _direction(vital: str, value: Any, scale: int) -> str:
    if vital == "consciousness":
        return "changed"
    if vital == "supplemental_oxygen":
        return "given"
    if vital == "spo2":
        return "low" if value <= _TARGET_TO[scale] else "high"
    return "low" if value < _NORMAL_FROM[vital] else "high"


@dataclass(frozen=True, slots=True)
class Unusual:
    """One channel of a personal episode: its value over the window, what is usual now, and its share of the alert.

    `direction`, "low" or "high", is the one that counts as bad; `device_id` measured it last, empty if that is unknown.
    """

    value: float
    low: float
    high: float
    share: float
    direction: str
    device_id: str = ""


def of_personal(
    *,
    window: str,
    days: int,
    version: str,
    coverage: float,
    channels: Mapping[str, Unusual],
    rule: str = PERSONAL_RULE,
) -> dict[str, Any]:
    """Evidence of the personal layer: over `window`, against what `days` days of this person have shown.

    `coverage` is the share of the window that was measured and at rest; the shares of the channels sum to 1.
    """
    return {
        "rule": rule,
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
                "direction": unusual.direction,
                "device_id": unusual.device_id,
            }
            for vital, unusual in channels.items()
        },
    }


def rfc3339(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat().replace("+00:00", "Z")
