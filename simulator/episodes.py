"""Episodes: what an illness does to a body while it lasts. The truth about them goes to a file, for scoring."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What an episode adds at its height, in the unit of each vital.
EFFECTS: dict[str, dict[str, float]] = {
    "hypoxia": {"spo2": -10.5, "respiratory_rate": 9.0, "heart_rate": 26.0},
    "infection": {
        "temperature": 2.3,
        "skin_temperature": 1.5,
        "heart_rate": 26.0,
        "respiratory_rate": 7.0,
        "spo2": -2.0,
    },
}
RISE = {"hypoxia": (0.1, 15.0), "infection": (0.4, 12 * 3600.0)}  # share of the duration, and at most so many seconds


@dataclass(frozen=True, slots=True)
class Episode:
    """An illness of one person during [start, end), in seconds since 1970."""

    kind: str
    person: int
    start: float
    end: float


def parse(text: str, begin: float) -> Episode:
    """`KIND:PERSON:AFTER:DURATION`, seconds after the beginning. Raises ValueError with what to write instead."""
    try:
        kind, person, after, duration = text.split(":")
        episode = Episode(kind, int(person), begin + float(after), begin + float(after) + float(duration))
    except ValueError:
        raise ValueError(f"“{text}”: write KIND:PERSON:AFTER:DURATION, for example hypoxia:7:30:600") from None
    if kind not in EFFECTS or episode.end <= episode.start:
        raise ValueError(f"“{text}”: the kind is one of {', '.join(EFFECTS)}, the duration more than 0")
    return episode


def at_random(count: int, people: int, begin: float, seconds: float, seed: int) -> list[Episode]:
    """`count` episodes of different people, somewhere within the stretch of time; kinds in turn."""
    draw = np.random.default_rng([seed, 99])
    chosen: Sequence[int] = draw.permutation(people)[:count].tolist()
    episodes = []
    for i, person in enumerate(chosen):
        length = seconds * draw.uniform(0.2, 0.4)
        start = begin + draw.uniform(0.1, 0.5) * seconds
        episodes.append(Episode(list(EFFECTS)[i % len(EFFECTS)], person + 1, start, start + length))
    return episodes


def effect(episode: Episode, times: np.ndarray) -> dict[str, np.ndarray]:
    """What the episode adds to each vital at `times`: it rises, stays, and falls in the last tenth."""
    length = episode.end - episode.start
    share, longest = RISE[episode.kind]
    rise, fall = min(length * share, longest), length * 0.1
    height = np.clip(np.minimum((times - episode.start) / rise, (episode.end - times) / fall), 0, 1)
    return {vital: peak * height for vital, peak in EFFECTS[episode.kind].items()}
