"""Batches of readings as rounds in which nobody is twice, so that array code can move each person once a round."""

from collections.abc import Iterable

import numpy as np


def rounds(person: np.ndarray) -> Iterable[np.ndarray]:
    """Rows in rounds: the first reading of everybody, then everybody's second; a person is in a round once at most."""
    order = np.argsort(person, kind="stable")
    ordered = person[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else order
    turn = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    by_turn = order[np.argsort(turn, kind="stable")]
    begin = 0
    for end in np.cumsum(np.bincount(turn)).tolist():
        yield by_turn[begin:end]
        begin = end
