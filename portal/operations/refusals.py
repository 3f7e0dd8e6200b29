"""Refused packets as operators see them: counts by reason and hour, and the newest coordinates, kept in Redis.

A task reads on in `vitals.refused` from the position that Redis holds beside the counts, and writes both in one step,
so each packet is counted once. Everything here can be rebuilt from the log, and is when Redis was emptied. No payload
is kept; of a packet that the door did not withhold, the device it was keyed by is.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby

from django.conf import settings

from ingestion.kafka import REFUSED, topic_id
from ingestion.refused import Refused, parse
from ingestion.walk import walk
from portal.pipeline.latest import connection

SAMPLES = 20  # of each reason
KEPT = timedelta(days=7)  # as long as Kafka keeps the packets themselves
HOUR = 3600

# KEYS: the tally. ARGV: partition, position before, position after, then (field, count) repeated.
_COUNT_ONCE = """
if (redis.call('HGET', KEYS[1], 'position|' .. ARGV[1]) or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'position|' .. ARGV[1], ARGV[3])
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""


@dataclass(slots=True)
class Tally:
    """Counts of one reason in the last hour, day and week, when it was last seen (UTC), and samples, newest first."""

    reason: str
    hour: int = 0
    day: int = 0
    week: int = 0
    total: int = 0
    last: datetime | None = None
    samples: list[dict[str, object]] = field(default_factory=list)


def refusals_follow(*, seconds: float = 10.0) -> int:
    """Count what was refused since the last call, for so long at most; the number of packets counted.

    Two calls at once do not count anything twice: the one that comes second finds another position and stops.
    """
    client, until, counted = connection(), time.monotonic() + seconds, 0
    topic = topic_id(settings.KAFKA_BOOTSTRAP_SERVERS, REFUSED)
    key = f"refused:{topic}"
    held = client.hgetall(key)
    begin = {int(name.split("|")[1]): int(v) for name, v in held.items() if name.startswith("position|")}
    for batch in walk(settings.KAFKA_BOOTSTRAP_SERVERS, REFUSED, start=dict(begin)):
        batch.sort(key=lambda message: message.partition())
        for partition, messages in groupby(batch, key=lambda message: message.partition()):
            group = list(messages)
            packets = [parse(message) for message in group]
            end = group[-1].offset() + 1
            if not _count(key, partition, begin.get(partition, 0), end, packets):
                return counted
            begin[partition] = end
            counted += len(packets)
        if time.monotonic() > until:
            break
    _forget_old(key)
    return counted


def _count(key: str, partition: int, begin: int, end: int, packets: list[Refused]) -> bool:
    client = connection()
    counts = Counter(f"count|{_hour(p.refused_at)}|{p.reason}" for p in packets)
    counts.update(f"total|{p.reason}" for p in packets)
    arguments = [value for pair in counts.items() for value in pair]
    if not client.eval(_COUNT_ONCE, 1, key, partition, begin, end, *arguments):
        return False
    pipe = client.pipeline(transaction=False)
    by_reason: dict[str, list[Refused]] = {}
    for packet in packets:
        by_reason.setdefault(packet.reason, []).append(packet)
    for reason, some in by_reason.items():
        newest = f"{key}:samples:{reason}"
        pipe.lpush(newest, *(json.dumps(_sample(p)) for p in some[-SAMPLES:]))
        pipe.ltrim(newest, 0, SAMPLES - 1)
        pipe.expire(newest, KEPT)
    pipe.execute()
    return True


def _sample(packet: Refused) -> dict[str, object]:
    return {
        "at": packet.refused_at.timestamp(),
        "partition": packet.at.partition,
        "offset": packet.at.offset,
        "length": packet.length,
        "device": packet.device_id,
        "obstacle": packet.obstacle(),
        "again": packet.origin is not None,
    }


def refusals_forget_devices(devices: set[str]) -> int:
    """Remove the samples that name one of these devices; how many. For an erasure."""
    client, removed = connection(), 0
    for key in client.scan_iter("refused:*:samples:*"):
        for text in client.lrange(key, 0, -1):
            if json.loads(text)["device"] in devices:
                removed += client.lrem(key, 0, text)
    return removed


def _forget_old(key: str) -> None:
    oldest = _hour(datetime.now(UTC) - KEPT)
    old = [name for name, _ in _counts(key) if int(name.split("|")[1]) < oldest]
    if old:
        connection().hdel(key, *old)


def _counts(key: str) -> Iterator[tuple[str, int]]:
    return ((n, int(v)) for n, v in connection().hgetall(key).items() if n.startswith("count|"))


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // HOUR


def tallies(now: datetime) -> list[Tally]:
    """Every reason that was seen in the last week, the most frequent of the last day first. Reads Redis only."""
    client = connection()
    found: dict[str, Tally] = {}
    present = _hour(now)
    for key in client.scan_iter("refused:*"):
        if ":samples:" in key:
            continue
        for name, value in client.hgetall(key).items():
            kind, *rest = name.split("|")
            if kind == "total":
                found.setdefault(rest[0], Tally(rest[0])).total += int(value)
            elif kind == "count":
                tally, age = found.setdefault(rest[1], Tally(rest[1])), present - int(rest[0])
                tally.hour += int(value) * (age <= 0)
                tally.day += int(value) * (age < 24)
                tally.week += int(value) * (age < 24 * 7)
        for tally in found.values():
            tally.samples += map(json.loads, client.lrange(f"{key}:samples:{tally.reason}", 0, -1))
    for tally in found.values():
        tally.samples.sort(key=lambda sample: -sample["at"])
        del tally.samples[SAMPLES:]
        for sample in tally.samples:
            sample["at"] = datetime.fromtimestamp(sample["at"], UTC)
        tally.last = tally.samples[0]["at"] if tally.samples else None
    return sorted(found.values(), key=lambda t: (-t.day, -t.week, t.reason))
