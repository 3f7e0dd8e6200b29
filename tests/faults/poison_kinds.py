"""Everything that may come instead of a reading, and what it deserves."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice

from ingestion.reading import Refusal
from tests.faults.pipeline import UNASSIGNED, WITHDRAWN
from tests.faults.traffic import LAKE, Packet, reading

CANARY = "canary-in-a-withdrawn-packet"  # must be found in `vitals.readings` and nowhere else
DEVICE = "device_3"
Kind = Callable[[str], Packet]  # of a record id


def spoilt(deserves: str, device: str = DEVICE, **fields: object) -> Kind:
    """A packet with good vitals, unless the fields say otherwise."""
    return lambda record_id: reading(device, deserves, record_id, **{"heart_rate": 72, "spo2": 97, **fields})


def edited(edit: Callable[[bytes], bytes], deserves: str = Refusal.NOT_JSON, device: str = DEVICE) -> Kind:
    """A good packet whose bytes were changed on the way."""

    def make(record_id: str) -> Packet:
        good = reading(device, deserves, record_id, heart_rate=72, spo2=97)
        return replace(good, value=edit(good.value or b""))

    return make


def raw(value: bytes | None, deserves: str) -> Kind:
    return lambda record_id: Packet(DEVICE.encode(), value, deserves)


def number(text: str, deserves: str = Refusal.NOT_JSON) -> Kind:
    """A heart rate that is written like this."""
    return edited(lambda value: value.replace(b'"heart_rate": 72', b'"heart_rate": ' + text.encode()), deserves)


def without(name: str, deserves: str) -> Kind:
    return edited(
        lambda value: json.dumps({k: v for k, v in json.loads(value).items() if k != name}).encode(), deserves
    )


def withdrawn(make: Kind) -> Kind:
    """The same of somebody who has withdrawn; the canary is in it."""
    return lambda record_id: make(f"{CANARY}-{record_id}")


def larger_than(size: int) -> Callable[[bytes], bytes]:
    return lambda value: value[:-1] + b', "note": "' + b"x" * (size - len(value) - 12) + b'"}'


KINDS: dict[str, Kind] = {
    # bytes
    "blank": raw(b"", Refusal.EMPTY),
    "white space": raw(b" \r\n\t", Refusal.EMPTY),
    "no value at all": raw(None, Refusal.EMPTY),
    "cut short": edited(lambda value: value[: len(value) // 2]),
    "two packets in one": edited(lambda value: value + b"\n" + value),
    "byte order mark": edited(lambda value: b"\xef\xbb\xbf" + value),
    "UTF-16": edited(lambda value: value.decode().encode("utf-16")),
    "Latin-1": edited(lambda value: value.replace(b"device_3", b"ger\xe4t_3")),
    "NUL bytes": edited(lambda value: value + b"\x00\x00"),
    "half a surrogate pair": edited(lambda value: value.replace(b"device_3", b"\\ud83d")),
    "deep nesting": edited(lambda value: value[:-1] + b', "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "1 MB": edited(larger_than(1_000_000), Refusal.TOO_LARGE),
    "1 MiB": edited(larger_than(1_048_576), Refusal.TOO_LARGE),
    "64 kB and a byte": edited(larger_than(64 * 1024 + 1), Refusal.TOO_LARGE),
    # JSON, but not a packet
    "a list": raw(b"[1, 2]", Refusal.NOT_AN_OBJECT),
    "a number": raw(b"72", Refusal.NOT_AN_OBJECT),
    "null": raw(b"null", Refusal.NOT_AN_OBJECT),
    "an empty object": raw(b"{}", Refusal.NO_DEVICE),
    # numbers
    "NaN": number("NaN"),
    "Infinity": number("-Infinity"),
    "1e309": number("1e309"),
    "five thousand digits": number("7" * 5000),
    "negative": spoilt(Refusal.NOTHING_MEASURED, heart_rate=-72, spo2=None),
    "more than 300": spoilt(Refusal.NOTHING_MEASURED, heart_rate=301, spo2=1e300),
    # types
    "every type wrong": spoilt(
        Refusal.NOTHING_MEASURED, heart_rate="72", spo2=[97], blood_pressure=120, presence="yes"
    ),
    "one type wrong": spoilt(LAKE, heart_rate="72"),
    "one value out of range": spoilt(LAKE, heart_rate=301),
    "nothing measured": spoilt(Refusal.NOTHING_MEASURED, heart_rate=None, spo2=None),
    "repeated keys": edited(lambda value: value[:-1] + b', "heart_rate": 61, "heart_rate": 62}', LAKE),
    "line breaks": edited(lambda value: json.dumps(json.loads(value), indent=1).encode(), LAKE),
    "an empty bed": spoilt(LAKE, device="bed_3", presence=False, heart_rate=31, spo2=None),
    # who
    "no device": without("device_id", Refusal.NO_DEVICE),
    "a number for a device": spoilt(Refusal.NO_DEVICE, device_id=3),
    "a name without end": spoilt(Refusal.NO_DEVICE, device_id="d" * 1000),
    "an unknown device": spoilt(Refusal.UNKNOWN_DEVICE, device="device_nobody_knows"),
    "nobody's device": spoilt(Refusal.UNASSIGNED, device=UNASSIGNED),
    "a key that is not text": lambda record_id: replace(spoilt(LAKE)(record_id), key=b"\xff\xfe"),
    "no key": lambda record_id: replace(spoilt(LAKE)(record_id), key=None),
    # when
    "no time": without("timestamp", Refusal.NO_TIME),
    "a time without an offset": spoilt(Refusal.NO_OFFSET, timestamp="2026-03-01T10:00:00"),
    "a number for a time": spoilt(Refusal.BAD_TIME, timestamp=1_700_000_000),
    "the 30th of February": spoilt(Refusal.BAD_TIME, timestamp="2026-02-30T10:00:00Z"),
    "tomorrow": spoilt(Refusal.FUTURE, days_ago=-1),
    "the end of time": spoilt(Refusal.FUTURE, timestamp="9999-12-31T23:59:59-23:59"),
    "1970": spoilt(Refusal.TOO_OLD, timestamp="1970-01-01T00:00:00Z"),
    "the year 1": spoilt(Refusal.TOO_OLD, timestamp="0001-01-01T00:00:00+23:59"),
    # of somebody who has withdrawn: nothing of it may be kept, whatever else is wrong
    "withdrawn": withdrawn(spoilt(Refusal.NO_CONSENT, device=WITHDRAWN)),
    "withdrawn, tomorrow": withdrawn(spoilt(Refusal.NO_CONSENT, device=WITHDRAWN, days_ago=-1)),
    "withdrawn, no vitals": withdrawn(spoilt(Refusal.NOTHING_MEASURED, device=WITHDRAWN, heart_rate=None, spo2=None)),
    "withdrawn, cut short": withdrawn(edited(lambda value: value[:-5], device=WITHDRAWN)),
    "withdrawn, too large": withdrawn(edited(larger_than(100_000), Refusal.TOO_LARGE, device=WITHDRAWN)),
    "withdrawn, no key": withdrawn(
        lambda record_id: replace(spoilt(Refusal.NO_CONSENT, device=WITHDRAWN)(record_id), key=None)
    ),
    "withdrawn, no time, another's key": withdrawn(
        lambda record_id: replace(
            spoilt(Refusal.NO_TIME, device=WITHDRAWN, timestamp=None)(record_id), key=DEVICE.encode()
        )
    ),
    "withdrawn, cut short, no key": withdrawn(
        lambda record_id: replace(edited(lambda value: value[:-5], device=WITHDRAWN)(record_id), key=None)
    ),
}


def poison(count: int) -> Iterator[Packet]:
    """So many packets, of every kind in turn."""
    for place, (name, make) in enumerate(islice(cycle(KINDS.items()), count)):
        yield make(f"x{place:05d}-{list(KINDS).index(name):02d}")
