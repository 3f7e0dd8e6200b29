"""The packets of ingest.py: what watches send, and one in a hundred that is no reading."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

POISON_EVERY = 100


def watches(count: int, people: int, now: datetime) -> list[tuple[bytes, bytes]]:
    """(key, packet) of `count` readings of `people` watches (`device_1`, …) during the hour before `now`."""
    draw = np.random.default_rng(7)
    person = draw.integers(1, people + 1, count).tolist()
    heart_rate = draw.integers(55, 110, count).tolist()
    spo2 = draw.integers(94, 100, count).tolist()
    respiratory_rate = draw.integers(12, 20, count).tolist()
    skin = (draw.integers(320, 350, count) / 10).tolist()
    steps = draw.integers(0, 12, count).tolist()
    battery = draw.integers(20, 101, count).tolist()
    begin, step = now - timedelta(hours=1), timedelta(hours=1) / count
    packets = []
    for i in range(count):
        device = f"device_{person[i]}"
        at = (begin + i * step).isoformat(timespec="milliseconds")[:-6]
        packet = (
            f'{{"device_id":"{device}","timestamp":"{at}Z","heart_rate":{heart_rate[i]}.0,"spo2":{spo2[i]}.0,'
            f'"respiratory_rate":{respiratory_rate[i]}.0,"skin_temperature":{skin[i]},"steps":{steps[i]}.0,'
            f'"battery":{battery[i]}.0}}'
        )
        packets.append((device.encode(), packet.encode()))
    return packets


def poison(now: datetime) -> Iterator[bytes]:
    """Packets that must be refused, each for another reason, for ever."""
    at, tomorrow = now.isoformat().encode(), (now + timedelta(days=1)).isoformat().encode()
    kinds = [
        b"",
        b"{",
        b"[1,2,3]",
        b"\xff\xfe\x00",
        b"x" * 70_000,
        b'{"device_id":"device_1","timestamp":"%b","heart_rate":NaN}' % at,
        b'{"device_id":"device_1","timestamp":"%b","heart_rate":"72"}' % at,
        b'{"device_id":"device_1","timestamp":"%b","heart_rate":72}' % tomorrow,
        b'{"device_id":"device_1","timestamp":"yesterday","heart_rate":72}',
        b'{"device_id":"device_1","timestamp":"1970-01-01T00:00:00Z","heart_rate":72}',
        b'{"device_id":"device_1","timestamp":"2026-11-24T10:00:00","heart_rate":72}',
        b'{"device_id":"nobodys","timestamp":"%b","heart_rate":72}' % at,
        b'{"timestamp":"%b","heart_rate":72}' % at,
        b'{"device_id":"device_1","timestamp":"%b"}' % at,
    ]
    while True:
        yield from kinds
