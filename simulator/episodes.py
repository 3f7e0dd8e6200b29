"""Episodes: what an illness does to a body while it lasts. The truth about them goes to a file, for scoring."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# What each device measures that an episode can change.
SHOWS: dict[str, frozenset[str]] = {
    "watch": frozenset({"heart_rate", "spo2", "respiratory_rate", "skin_temperature", "activity"}),
    "cuff": frozenset({"systolic", "diastolic"}),
    "thermometer": frozenset({"temperature"}),
    "oximeter": frozenset({"spo2", "heart_rate"}),
    "bed": frozenset({"heart_rate", "respiratory_rate"}),
}
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
    "sepsis": {
        "heart_rate": 28.0,
        "respiratory_rate": 10.0,
        "temperature": 1.9,
        "skin_temperature": 1.2,
        "spo2": -4.5,
        "systolic": -22.0,
        "diastolic": -12.0,
    },
    "tachycardia": {"heart_rate": 72.0},
    "heat": {"heart_rate": 14.0, "temperature": 0.9, "skin_temperature": 1.6, "systolic": -8.0},
    "decline": {"heart_rate": 7.0, "respiratory_rate": 2.5, "spo2": -2.5, "activity": -0.4},
}
# How it rises: over this share of the duration, and over at most so many seconds.
RISE = {
    "hypoxia": (0.1, 15.0),
    "infection": (0.4, 12 * 3600.0),
    "sepsis": (0.5, 12 * 3600.0),
    "tachycardia": (0.02, 10.0),
    "heat": (0.3, 2 * 3600.0),
    "decline": (0.7, 7 * 86_400.0),
}
IRREGULAR = {"tachycardia": 9.0}  # beats per minute by which the heart rate jumps about, as in atrial fibrillation
AT_RANDOM = ("hypoxia", "infection")  # what is plain to see within minutes


class UnknownEpisode(Exception):
    """No such episode can be had; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Episode:
    """An illness of one person during [start, end), in seconds since 1970."""

    kind: str
    person: int
    start: float
    end: float


def parse(text: str, people: int, begin: float) -> Episode:
    """`KIND:PERSON:AFTER:DURATION`, seconds after the beginning. Raises UnknownEpisode."""
    try:
        kind, person, after, duration = text.split(":")
        episode = Episode(kind, int(person), begin + float(after), begin + float(after) + float(duration))
    except ValueError:
        raise UnknownEpisode(f"“{text}”: write KIND:PERSON:AFTER:DURATION, for example hypoxia:7:30:600") from None
    if kind not in EFFECTS or not 0 < episode.end - episode.start < np.inf:
        raise UnknownEpisode(f"“{text}”: the kind is one of {', '.join(EFFECTS)}, the duration more than 0")
    if not 1 <= episode.person <= people:
        raise UnknownEpisode(f"“{text}”: the person is a number from 1 to {people}, see --devices")
    return episode


def at_random(count: int, people: int, begin: float, seconds: float, seed: int) -> list[Episode]:
    """`count` episodes of different people, somewhere within the stretch of time; kinds in turn. Or UnknownEpisode."""
    if count > people:
        raise UnknownEpisode(f"{count} episodes need as many people, each falls ill once: raise --devices")
    draw = np.random.default_rng([seed, 99])
    chosen: Sequence[int] = draw.permutation(people)[:count].tolist()
    episodes = []
    for i, person in enumerate(chosen):
        length = seconds * draw.uniform(0.2, 0.4)
        start = begin + draw.uniform(0.1, 0.5) * seconds
        episodes.append(Episode(AT_RANDOM[i % len(AT_RANDOM)], person + 1, start, start + length))
    return episodes


def shown_by(kind: str, devices: Iterable[str]) -> list[str]:
    """Those of the devices that measure what this kind of episode changes."""
    return [device for device in devices if SHOWS[device] & EFFECTS[kind].keys()]


def effect(episode: Episode, times: np.ndarray) -> dict[str, np.ndarray]:
    """What the episode adds to each vital at `times`: it rises, stays, and falls in the last tenth."""
    length = episode.end - episode.start
    share, longest = RISE[episode.kind]
    rise, fall = min(length * share, longest), length * 0.1
    height = np.clip(np.minimum((times - episode.start) / rise, (episode.end - times) / fall), 0, 1)
    shifts = {vital: peak * height for vital, peak in EFFECTS[episode.kind].items()}
    if jumps := IRREGULAR.get(episode.kind):
        # Two waves that never meet again: the same moment has the same jump however the times are cut.
        wave = np.sin(times * 1.7) * np.sin(times * 0.613 + 1)
        shifts["heart_rate"] = shifts["heart_rate"] + jumps * wave * height
    return shifts
