"""What goes wrong on the way: faults of devices and networks, put between the people and the transport."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

from simulator.episodes import SHOWS
from simulator.people import Packet, rfc3339

KINDS = (
    "dropout",
    "spike",
    "stuck",
    "clock_skew",
    "duplicate",
    "out_of_order",
    "low_battery",
    "malformed",
    "empty_bed",
)
SPIKES = {"heart_rate": 230.0, "spo2": 71.0, "respiratory_rate": 55.0}
SPIKE_EVERY = 12  # packets: a spike is one packet, never two in a row
SKEW_S = 2 * 3600.0  # a clock that is two hours slow
OVERTAKEN_EVERY = 6  # packets: one is overtaken by the next of its device


class UnknownFault(Exception):
    """No such fault can be had; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one person's devices during [start, end), in seconds since 1970."""

    kind: str
    person: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes out: the device id is the key, `value` the bytes. `at` says when it is sent."""

    at: float
    device_id: str
    value: bytes


@dataclass(slots=True)
class Faults:
    """Turns packets into what is really sent. Keeps what it must from packet to packet, by device."""

    faults: InitVar[Iterable[Fault]]
    _of: dict[int, list[Fault]] = field(init=False)  # by person
    _stuck: dict[tuple[str, Fault], dict[str, Any]] = field(default_factory=dict)
    _count: dict[tuple[str, Fault], int] = field(default_factory=dict)
    _held: dict[str, Sent] = field(default_factory=dict)

    def __post_init__(self, faults: Iterable[Fault]) -> None:
        self._of = {}
        for fault in faults:
            self._of.setdefault(fault.person, []).append(fault)

    def send(self, packets: Iterable[Packet]) -> Iterator[Sent]:
        for packet in packets:
            person = int(packet.device_id.rpartition("_")[2])
            at_work = [f for f in self._of.get(person, ()) if f.start <= packet.at < f.end]
            held = self._held.pop(packet.device_id, None)
            yield from self._through(packet, at_work)
            if held is not None:
                yield held
        yield from self._held.values()

    def _through(self, packet: Packet, at_work: list[Fault]) -> Iterator[Sent]:
        content, at = dict(packet.content), packet.at
        sent_twice = overtaken = False
        for fault in at_work:
            turn = self._count[packet.device_id, fault] = self._count.get((packet.device_id, fault), -1) + 1
            match fault.kind:
                case "dropout":
                    return
                case "spike" if turn % SPIKE_EVERY == SPIKE_EVERY // 2:
                    content |= {name: value for name, value in SPIKES.items() if name in content}
                case "stuck":
                    content = dict(self._stuck.setdefault((packet.device_id, fault), dict(content)))
                case "clock_skew":
                    at -= SKEW_S
                case "duplicate":
                    sent_twice = True
                case "out_of_order":
                    overtaken = turn % OVERTAKEN_EVERY == 0
                case "low_battery":
                    left = max(0.0, 5 * (1 - 2 * (packet.at - fault.start) / (fault.end - fault.start)))
                    if left == 0:
                        return
                    content["battery"] = float(round(left))
                case "malformed":
                    value = encode(content, packet.device_id, at)
                    yield Sent(packet.at, packet.device_id, value[: len(value) // 2])
                    return
                case "empty_bed" if packet.device_id.startswith("bed_"):
                    content = {"presence": False, "heart_rate": 31.0}  # what an empty bed makes of its own tremor
        sent = Sent(packet.at, packet.device_id, encode(content, packet.device_id, at))
        if overtaken:
            self._held[packet.device_id] = sent
            return
        yield sent
        if sent_twice:
            yield sent


def encode(content: dict[str, Any], device_id: str, at: float) -> bytes:
    """The packet as it travels."""
    return json.dumps({"device_id": device_id, "timestamp": rfc3339(at), **content}, separators=(",", ":")).encode()


def hits(kind: str, devices: Iterable[str]) -> list[str]:
    """Those of the devices that this kind of fault can do something to."""
    if kind == "empty_bed":
        return [device for device in devices if device == "bed"]
    if kind == "spike":
        return [device for device in devices if SHOWS[device] & SPIKES.keys()]
    return list(devices)


def parse(text: str, people: int, kit: Sequence[str], begin: float, seconds: float) -> list[Fault]:
    """`all`, `KIND`, or `KIND:PERSON:AFTER:DURATION`. Without a person, every tenth person has the fault.

    `all` gives each person one kind, in turn, of those that the kit can have. Raises UnknownFault.
    """
    if text == "all":
        kinds = [kind for kind in KINDS if hits(kind, kit)]
        return [Fault(kinds[p % len(kinds)], p + 1, begin + seconds * 0.2, begin + seconds) for p in range(people)]
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise UnknownFault(f"“{text}”: the kind is one of {', '.join(KINDS)}, or write all")
    if not hits(kind, kit):
        raise UnknownFault(
            f"“{text}”: nobody has a device for it, add {'bed' if kind == 'empty_bed' else 'watch'} to --kit"
        )
    if not rest:
        return [Fault(kind, p, begin, begin + seconds) for p in range(1, people + 1, 10)]
    try:
        person, after, duration = rest.split(":")
        fault = Fault(kind, int(person), begin + float(after), begin + float(after) + float(duration))
    except ValueError:
        raise UnknownFault(f"“{text}”: write KIND:PERSON:AFTER:DURATION, for example spike:3:10:60") from None
    if not 1 <= fault.person <= people:
        raise UnknownFault(f"“{text}”: the person is a number from 1 to {people}, see --devices")
    if not fault.end > fault.start:
        raise UnknownFault(f"“{text}”: the duration is more than 0")
    return [fault]
