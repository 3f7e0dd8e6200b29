"""Weight gain as a sign of fluid in heart failure: a published rule, not a learned range.

More than 2 kg within 3 days asks for a review (McDonagh 2021, ESC guidelines for heart failure, patient education and
self-care). It is switched on by a plan; somebody without heart failure is not weighed against it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from analytics.evidence import Measured, of_limit
from ingestion.instants import EPOCH
from ingestion.lake.read import read

CAUSE = "gain:weight:high"
RULE = "Weight gain (ESC 2021)"
GAIN_KG = 2.0
WITHIN_DAYS = 3.0
DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Weighed:
    """Somebody's newest weight: whether its gain asks for a review, and whether it is no gain any more."""

    at: datetime
    asks: bool
    calm: bool
    evidence: dict[str, object]


def weighed(lake: str, *, organisation: str, subject: str, now: datetime) -> Weighed | None:
    """The newest weight of the last `WITHIN_DAYS` in the lake, against those before it; None if there is none."""
    start = now - timedelta(days=2 * WITHIN_DAYS)
    columns = ["measured_at", "device_id", "weight"]
    rows = read(lake, organisation=organisation, subject=subject, start=start, end=now, columns=columns)
    rows = rows.filter(rows["weight"].is_valid())
    if rows.num_rows == 0:
        return None
    at = rows["measured_at"].cast(pa.int64()).to_numpy()
    measured_at = EPOCH + timedelta(microseconds=int(at[-1]))
    if measured_at < now - timedelta(days=WITHIN_DAYS):
        return None
    weight = rows["weight"].cast(pa.float64()).to_numpy()
    gain = float(gains(at, weight)[-1])
    lowest = float(weight[-1]) - gain
    newest = Measured(float(weight[-1]), int(at[-1]), rows["device_id"][-1].as_py())
    reason = f"{gain:.1f} kg more than the lowest of {WITHIN_DAYS:.0f} days, which asks for a review in heart failure"
    evidence = of_limit(
        "weight", newest, limit=round(lowest + GAIN_KG, 1), direction="high", reason=reason, unconfirmed=False
    )
    return Weighed(
        at=measured_at,
        asks=bool(alerts(at, weight)[-1]),
        calm=gain <= GAIN_KG,
        evidence=evidence | {"rule": RULE},
    )


def gains(at: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """By how much each weight (n,) in kg is above the lowest of the `WITHIN_DAYS` before it; 0 for the first.

    `at` (n,) is in microseconds, UTC, in order. NaN weights are left out and have a gain of 0.
    """
    gained = np.zeros(len(weight))
    first = np.searchsorted(at, at - int(WITHIN_DAYS * DAY))
    for i in np.flatnonzero(np.isfinite(weight)).tolist():
        before = weight[first[i] : i + 1]
        gained[i] = weight[i] - np.nanmin(before)
    return gained


def alerts(at: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Which weights (n,) show a gain that asks for a review: confirmed by the weight before, or alone in its window.

    A child on the scales, a suitcase: one reading more than twice the rule above its neighbours waits for the next.
    """
    gained = gains(at, weight)
    over = gained > GAIN_KG
    doubtful = gained > 2 * GAIN_KG
    confirmed = np.concatenate([[False], over[:-1]]) if len(over) else over
    return over & (~doubtful | confirmed)
