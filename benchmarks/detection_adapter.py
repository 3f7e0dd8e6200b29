"""Columns of the evaluation harness as arrays of `analytics`, and the population part learned from its dev share."""

from functools import cache

import numpy as np
from veval import daily, illness, minute

from analytics import limits, population, slots, windows
from analytics.persistence import statistics
from analytics.population import NEEDED, History, Population

NAMES = {
    "rhr": "resting_heart_rate",
    "rmssd": "hrv_rmssd",
    "rr": "respiratory_rate",
    "spo2": "spo2",
    "skin_temp": "skin_temperature",
    "steps": "steps",
}
ONSET = (-1, 7)  # days from the onset of symptoms that are taught as ill
WELL = (-21, 60)  # at or before, and from then on
LEARN, LEARN_MOST, REFIT, WARM = (days * minute.DAY for days in (14, 28, 7, 3))
STREAM_BUDGET, SLOW_BUDGET = 0.08, 0.32  # false alerts a week of each statistic alone, and of a slow change
ABSOLUTE = 5.0  # an absolute limit counts as far above every edge
SEVERE = 85.0  # oxygen saturation that does not wait for rest


@cache
def trained(columns: tuple[str, ...]) -> Population:
    """The population part for these columns of the harness; the real onsets are only in the heart-rate set."""
    sign = np.array([daily.SIGN[c] for c in columns], float)
    if "hr_basal" in columns:
        histories = []
        for values, day in illness.mayer("dev").values():
            known = illness.eligible(values, day)
            ill = (day >= ONSET[0]) & (day <= ONSET[1]) & known
            histories.append(History(values, ill=ill, healthy=(day <= WELL[0]) | (day >= WELL[1])))
    else:
        histories = [History(values) for values in daily.lifesnaps("dev", columns)[0].values()]
    return population.fit(histories, [NAMES.get(c, c) for c in columns], sign)


def nightly(H: np.ndarray, X: np.ndarray, ctx: dict) -> np.ndarray:
    """Scores of the days X after the history H, both (days, columns)."""
    learned = trained(tuple(ctx["cols"]))
    days = np.vstack([H, X])[-(NEEDED + len(X)) :]
    rows = np.arange(len(days) - len(X), len(days))
    score = learned.scorer.score(statistics(days, rows, learned.prior, learned.sign))
    return np.where(np.isfinite(X).any(axis=1), score, np.nan)


def slots_of(part: dict) -> slots.Slots:
    values = np.column_stack([part["hr"], part["rr"], part["spo2"], part["temp"]]).astype(float)
    return slots.Slots(values, np.asarray(part["steps"], float), part["hour"].astype(int) % 24)


class Stream:
    """A person's stream model, with the edges learned from the dev share."""

    def fit(self, train: dict) -> None:
        self.model = windows.fit(slots_of(train))

    def score(self, part: dict) -> np.ndarray:
        found = slots_of(part)
        score = windows.score(stream_edges(), self.compared(found))
        score = np.where(absolute(found), np.maximum(score, ABSOLUTE), score)
        return np.where(np.isfinite(found.values).any(axis=1), score, np.nan)

    def compared(self, found: slots.Slots) -> np.ndarray:
        return windows.over(slots.deviations(self.model.usual, found))


def absolute(found: slots.Slots) -> np.ndarray:
    """Whether an input of NEWS2 has had 3 points for a quarter of an hour at rest, or saturation was severe twice.

    The ward has no slots: it raises both at the second reading that shows them. At a reading every five minutes without
    a gate for rest, NEWS2 alone alerts several times a week (docs/detection.md), so here it has one.
    """
    kept = slots.gated(found)
    inputs = np.full((len(kept), len(limits.INPUTS)), np.nan)
    inputs[:, limits.PULSE] = kept[:, slots.HEART]
    inputs[:, limits.RESPIRATION] = kept[:, slots.BREATH]
    inputs[:, limits.SPO2] = kept[:, slots.OXYGEN]
    three = limits.points(inputs, np.zeros(len(kept), bool)) == 3
    oxygen = found.values[:, slots.OXYGEN]
    severe = (oxygen >= slots.LOW[slots.OXYGEN]) & (oxygen <= SEVERE)
    return _lasting(three, 3).any(axis=1) | _lasting(severe[:, None], 2).any(axis=1)


def _lasting(shows: np.ndarray, slots_in_a_row: int) -> np.ndarray:
    lasting = shows.copy()
    for back in range(1, slots_in_a_row):
        lasting[:back] = False
        lasting[back:] &= shows[:-back]
    return lasting


@cache
def stream_edges() -> windows.Edges:
    """Times around an absolute limit are no calm ones: a limit is an alert already, and needs no edge."""
    calm = []
    for whole in minute.backgrounds("dev").values():
        compared = []
        end = len(whole["hr"])
        for start in range(LEARN, end, REFIT):
            stream = Stream()
            stream.fit(minute.sl(whole, max(0, start - LEARN_MOST), start))
            until, since = min(start + REFIT, end), start - WARM
            part = slots_of(minute.sl(whole, since, until))
            found = stream.compared(part)
            found[~np.isfinite(part.values).any(axis=1)] = np.nan
            compared.append(found[WARM:])
        if compared:
            alarm = np.convolve(absolute(slots_of(whole)), np.ones(2 * windows.MERGE + 1), "same")[LEARN:] > 0
            calm.append(np.concatenate(compared))
            calm[-1][alarm] = np.nan
    return windows.edges(calm, STREAM_BUDGET, slow=SLOW_BUDGET)


def entries() -> tuple[dict, dict]:
    """What the harness adds to its nightly and to its stream detectors."""
    return {"wellrange": nightly, "wellrange_7_nights": lambda H, X, ctx: nightly(H[-7:], X, ctx)}, {
        "wellrange": Stream
    }
