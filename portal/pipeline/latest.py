"""Latest values per person and vital, and how far the pipeline has come: both in Redis, both can be rebuilt.

Writes move forward only, so a replay or a late reading never turns a board back.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import redis
from django.conf import settings

from ingestion.instants import microseconds
from ingestion.vitals import VITALS

log = logging.getLogger(__name__)

DELAYED_AFTER = timedelta(seconds=60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# KEYS: one hash per person. ARGV: key number, vital, "measured_us|value|device", repeated.
_FORWARD_ONLY = """
for i = 1, #ARGV, 3 do
  local key = KEYS[tonumber(ARGV[i])]
  local old = redis.call('HGET', key, ARGV[i + 1])
  if not old or tonumber(string.match(old, '^%d+')) <= tonumber(string.match(ARGV[i + 2], '^%d+')) then
    redis.call('HSET', key, ARGV[i + 1], ARGV[i + 2])
  end
end
"""


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest value of one vital. `value` is a float, or a letter for a code; flags are 0 and 1."""

    value: float | str
    measured_at: datetime
    device_id: str


@contextmanager
def redis_may_fail() -> Iterator[None]:
    """What Redis holds can be rebuilt, so that its absence must stop neither the door nor an alert."""
    try:
        yield
    except redis.RedisError as error:
        log.warning("Redis does not answer (%s): latest values and checkpoints wait", type(error).__name__)


@cache
def connection() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, health_check_interval=30)


def latest_write(values: Iterable[tuple[str, str, Latest]]) -> None:
    """Write (subject, vital, latest) triples; an older value never replaces a newer one."""
    keys: dict[str, int] = {}
    arguments: list[str | int] = []
    for subject, vital, latest in values:
        number = keys.setdefault(f"latest:{subject}", len(keys) + 1)
        arguments += [number, vital, f"{microseconds(latest.measured_at)}|{_text(latest.value)}|{latest.device_id}"]
    if arguments:
        connection().eval(_FORWARD_ONLY, len(keys), *keys, *arguments)


def latest_of(readings: pa.Table) -> list[tuple[str, str, Latest]]:
    """The newest value of each person and vital among readings (READING_SCHEMA), for `latest_write`."""
    readings = readings.sort_by("measured_at").combine_chunks()
    subjects = readings["subject"].combine_chunks().dictionary_encode()
    names, person = subjects.dictionary.to_pylist(), subjects.indices.to_numpy()
    measured_at = readings["measured_at"].cast(pa.int64()).to_numpy()
    newest = []
    for vital in VITALS:
        column = readings[vital]
        if column.null_count == len(column):
            continue
        last = np.full(len(names), -1)
        rows = np.flatnonzero(column.is_valid().to_numpy())
        last[person[rows]] = rows  # of equal indices the last one wins
        rows = last[last >= 0]
        values, devices = (c.take(pa.array(rows)).to_pylist() for c in (column, readings["device_id"]))
        for row, value, device in zip(rows.tolist(), values, devices, strict=True):
            at = _EPOCH + timedelta(microseconds=int(measured_at[row]))
            newest.append((names[person[row]], vital, Latest(value, at, device)))
    return newest


def latest_read(subjects: Iterable[str]) -> dict[str, dict[str, Latest]]:
    """The latest values of each subject, by vital."""
    subjects = list(subjects)
    pipe = connection().pipeline(transaction=False)
    for subject in subjects:
        pipe.hgetall(f"latest:{subject}")
    return {
        s: {vital: _parse(text) for vital, text in found.items()}
        for s, found in zip(subjects, pipe.execute(), strict=True)
    }


def latest_forget(subject: str) -> None:
    connection().delete(f"latest:{subject}")


def progress_write(part: str, passed: Mapping[int, datetime]) -> None:
    """Say that `part` ("door" or "watcher") has read everything that had arrived in these partitions by these times."""
    if passed:
        connection().hset(f"progress:{part}", mapping={str(p): at.timestamp() for p, at in passed.items()})


def progress_read() -> datetime | None:
    """The moment up to which every partition is known to have been read by door and watcher, or None if unknown."""
    expected = {"door": settings.READINGS_PARTITIONS, "watcher": settings.ADMITTED_PARTITIONS}
    times = []
    for part, partitions in expected.items():
        found: Mapping[str, str] = connection().hgetall(f"progress:{part}")
        if len(found) < partitions:
            return None
        times += [float(t) for t in found.values()]
    return datetime.fromtimestamp(min(times), UTC)


def monitoring_delayed(now: datetime) -> bool:
    """Whether what a board shows may be older than DELAYED_AFTER because the pipeline, not the person, is late."""
    reached = progress_read()
    return reached is None or now - reached > DELAYED_AFTER


def latest_since(now: datetime) -> datetime:
    """Since when Redis has held latest values without being emptied: absence before that says nothing."""
    client = connection()
    client.set("latest:since", now.timestamp(), nx=True)
    return datetime.fromtimestamp(float(client.get("latest:since")), UTC)


def _text(value: float | str | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _parse(text: str) -> Latest:
    at, value, device_id = text.split("|", 2)
    number = value if value.isalpha() else float(value)
    return Latest(number, datetime.fromtimestamp(int(at) / 1e6, UTC), device_id)
