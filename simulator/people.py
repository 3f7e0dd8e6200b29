"""Simulated people: levels of their own, a day rhythm, activity, sleep, noise; and what their devices measure.

Every number is drawn from a generator seeded by (seed, person, stretch of time), so that one seed gives one ward, more
people do not change the others, and no state is carried from one stretch to the next.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from simulator.episodes import Episode, effect

DAY = 86_400
SLOT = 600  # seconds for which somebody is about equally active
CHUNK = 60  # packets of one watch that are drawn at once

DEVICES = ("watch", "cuff", "thermometer", "oximeter", "bed")

_LEVELS, _DAY, _NOISE = range(3)  # what a generator is for


def generator(seed: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, *purpose])


@dataclass(frozen=True, slots=True)
class Packet:
    """What a device sends: `at` is the time of measurement in seconds since 1970; `content` goes out as JSON."""

    at: float
    device_id: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kit:
    """Which devices everybody has besides the watch, and how often they report, in seconds."""

    watch_every: float = 5.0
    cuff_every: float = 12 * 3600
    thermometer_every: float = 4 * 3600
    oximeter_every: float = 60.0
    bed_every: float = 30.0
    devices: Sequence[str] = ("watch", "cuff", "thermometer")


class Person:
    """One simulated person. `number` counts from 1 and names the devices: `device_7` (the watch), `cuff_7`, …"""

    def __init__(self, seed: int, number: int, episodes: Sequence[Episode] = ()) -> None:
        self.number = number
        self._seed = seed
        self._episodes = [e for e in episodes if e.person == number]
        draw = generator(seed, _LEVELS, number)
        self.heart_rate = draw.uniform(56, 72)
        self.rhythm = draw.uniform(4, 8)  # beats per minute between night and afternoon, half of it
        self.respiratory_rate = draw.uniform(14.0, 16.5)
        self.spo2 = draw.uniform(97.0, 98.4)
        self.temperature = draw.uniform(36.5, 36.9)
        self.skin_temperature = draw.uniform(32.0, 34.0)
        self.systolic = draw.uniform(117, 138)
        self.diastolic = draw.uniform(66, 84)
        self.wakes = draw.uniform(6.0, 8.0) * 3600
        self.sleeps = draw.uniform(21.5, 23.5) * 3600
        self.drain = draw.uniform(
            1.2, 3.2
        )  # per cent of the watch's battery an hour; it is charged by the time of waking
        self.visit = draw.uniform(2, 28)  # seconds after the start at which cuff and thermometer are first used

    def packets(self, start: float, end: float, since: float, kit: Kit) -> Iterator[Packet]:
        """What is measured in [start, end); `since` is when the simulation began. All in seconds since 1970."""
        for device, every in self._schedule(kit):
            first = since + (self.visit if device in ("cuff", "thermometer") else (self.number * 0.37) % every)
            step = np.ceil((start - first) / every - 1e-9)
            times = first + every * np.arange(max(step, 0), np.ceil((end - first) / every - 1e-9))
            if len(times):
                yield from getattr(self, f"_{device}")(times, every)

    def _schedule(self, kit: Kit) -> Iterator[tuple[str, float]]:
        intervals = {
            "watch": kit.watch_every,
            "cuff": kit.cuff_every,
            "thermometer": kit.thermometer_every,
            "oximeter": kit.oximeter_every,
            "bed": kit.bed_every,
        }
        return ((device, every) for device, every in intervals.items() if device in kit.devices)

    # --- the body ---

    def body(self, times: np.ndarray, device: int) -> dict[str, np.ndarray]:
        """What is true of the body at `times` (seconds since 1970), with the noise of one device."""
        hour = (times % DAY) / 3600
        activity = self._activity(times)
        asleep = self._asleep(times)
        noise = self._noise(times, device)
        rhythm = np.cos((hour - 15.5) / 24 * 2 * np.pi)
        body = {
            "heart_rate": self.heart_rate + self.rhythm * rhythm + 16 * activity - 3 * asleep + 1.6 * noise[0],
            "respiratory_rate": self.respiratory_rate + 1.6 * activity - 0.8 * asleep + 0.45 * noise[1],
            "spo2": self.spo2 - 0.3 * asleep + 0.35 * noise[2],
            "temperature": self.temperature + 0.25 * rhythm + 0.05 * noise[3],
            "skin_temperature": self.skin_temperature + 0.5 * asleep - 0.4 * activity + 0.1 * noise[3],
            "systolic": self.systolic + 4 * rhythm + 5 * activity - 3 * asleep + 2.0 * noise[4],
            "diastolic": self.diastolic + 2 * rhythm + 2 * activity + 1.5 * noise[5],
            "activity": activity,
        }
        for episode in self._episodes:
            for name, shift in effect(episode, times).items():
                body[name] = body[name] + shift
        body["spo2"] = np.minimum(body["spo2"], 100)
        return body

    def _activity(self, times: np.ndarray) -> np.ndarray:
        """0 at rest to 1, changing slowly from one SLOT to the next."""
        place = times / SLOT
        before = np.floor(place).astype(np.int64)
        share = place - before
        active: np.ndarray = self._slots(before) * (1 - share) + self._slots(before + 1) * share
        return active

    def _slots(self, slots: np.ndarray) -> np.ndarray:
        per_day = DAY // SLOT
        active = np.zeros(len(slots))
        for day in np.unique(slots // per_day).tolist():
            draw = generator(self._seed, _DAY, self.number, day)
            of_day = np.where(draw.random(per_day) < 0.18, draw.random(per_day), 0.05 * draw.random(per_day))
            moment = np.arange(per_day) * SLOT
            of_day[(moment < self.wakes) | (moment > self.sleeps)] = 0
            inside = slots // per_day == day
            active[inside] = of_day[slots[inside] % per_day]
        return active

    def _asleep(self, times: np.ndarray) -> np.ndarray:
        moment = times % DAY
        asleep: np.ndarray = ((moment < self.wakes) | (moment > self.sleeps)).astype(float)
        return asleep

    def _noise(self, times: np.ndarray, device: int) -> np.ndarray:
        """Standard normal (6, n), the same for the same moment however the times are cut."""
        keys = np.round(times * 1000).astype(np.int64)
        noise = np.empty((6, len(times)))
        minutes = keys // (CHUNK * 5000)
        for minute in np.unique(minutes).tolist():
            inside = minutes == minute
            draw = generator(self._seed, _NOISE, self.number, device, minute).standard_normal((6, 512))
            noise[:, inside] = draw[:, (keys[inside] // 100) % 512]
        return np.clip(noise, -2.5, 2.5)

    # --- the devices ---

    def _watch(self, times: np.ndarray, every: float) -> Iterator[Packet]:
        body = self.body(times, 0)
        battery = 100 - (times - self.wakes) % DAY / 3600 * self.drain
        columns = {
            "heart_rate": np.round(body["heart_rate"]),
            "spo2": np.round(body["spo2"]),
            "respiratory_rate": np.round(body["respiratory_rate"]),
            "skin_temperature": np.round(body["skin_temperature"], 1),
            "steps": np.round(body["activity"] * every * 1.6 * (body["activity"] > 0.15)),
            "battery": np.round(battery),
        }
        return _rows(device_id("watch", self.number), times, columns)

    def _oximeter(self, times: np.ndarray, every: float) -> Iterator[Packet]:
        body = self.body(times, 1)
        columns = {"spo2": np.round(body["spo2"]), "heart_rate": np.round(body["heart_rate"])}
        return _rows(device_id("oximeter", self.number), times, columns)

    def _bed(self, times: np.ndarray, every: float) -> Iterator[Packet]:
        body, asleep = self.body(times, 2), self._asleep(times)
        for i, at in enumerate(times.tolist()):
            content: dict[str, Any] = {"presence": bool(asleep[i])}
            if asleep[i]:
                content |= {
                    "heart_rate": float(np.round(body["heart_rate"][i])),
                    "respiratory_rate": float(np.round(body["respiratory_rate"][i])),
                }
            yield Packet(at, device_id("bed", self.number), content)

    def _cuff(self, times: np.ndarray, every: float) -> Iterator[Packet]:
        body = self.body(times, 3)
        for i, at in enumerate(times.tolist()):
            pressure = f"{round(body['systolic'][i])}/{round(body['diastolic'][i])}"
            yield Packet(at, device_id("cuff", self.number), {"blood_pressure": pressure})

    def _thermometer(self, times: np.ndarray, every: float) -> Iterator[Packet]:
        columns = {"temperature": np.round(self.body(times, 4)["temperature"], 1)}
        return _rows(device_id("thermometer", self.number), times, columns)


def _rows(device: str, times: np.ndarray, columns: dict[str, np.ndarray]) -> Iterator[Packet]:
    names = list(columns)
    for at, values in zip(times.tolist(), np.column_stack(list(columns.values())).tolist(), strict=True):
        yield Packet(at, device, dict(zip(names, values, strict=True)))


def ward(people: Iterable[Person], start: float, seconds: float | None, kit: Kit) -> Iterator[Packet]:
    """What the ward measures, in order of time; without end if `seconds` is None. Two stretches are held at most.

    While one stretch is given out the next is made, a person at a time, so that no live packet waits for the making of
    thousands of others; stretches double to their full length, so that the first packet comes soon.
    """
    people = list(people)

    def measured(begin: float, end: float) -> Iterator[list[Packet]]:
        for person in people:
            yield list(person.packets(start + begin, start + end, start, kit))

    last = math.inf if seconds is None else seconds
    begin, end = 0.0, min(kit.watch_every, last)
    now = [packet for of_one in measured(begin, end) for packet in of_one]
    while begin < last:
        begin, end = end, min(end + min(2 * (end - begin), CHUNK * kit.watch_every), last)
        following: list[Packet] = []
        making = measured(begin, end)
        now.sort(key=lambda p: (p.at, p.device_id))
        made, pace = 0, len(people) / max(len(now), 1)
        for given, packet in enumerate(now, start=1):
            yield packet
            while made < given * pace:
                following += next(making, ())
                made += 1
        following += (packet for of_one in making for packet in of_one)
        now = following


def device_id(device: str, person: int) -> str:
    """A watch is the person's main device and is called just that."""
    return f"{'device' if device == 'watch' else device}_{person}"


def rfc3339(at: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, to the millisecond, or to the microsecond where that says more."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return text.removesuffix("000") + "Z"
