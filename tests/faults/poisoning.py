"""Good packets with poison between them: what became of each, how long the good ones took, and what was kept."""

import base64
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import redis
from confluent_kafka import Consumer, TopicPartition
from django.conf import settings
from django.db import connection

from ingestion.kafka import ADMITTED, READINGS, REFUSED, consumer_config, from_messages
from ingestion.lake import readings_url
from tests.faults.balance import Balance, balance, disorder, entries_of_refused, files_named, messages_of, rows_of_lake
from tests.faults.command import Say
from tests.faults.pipeline import Pipeline
from tests.faults.poison_kinds import CANARY, poison
from tests.faults.surroundings import wait_for
from tests.faults.traffic import Packet, Sent, Traffic, ward


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds from the broker's receipt of a good packet until a reader of `vitals.admitted` has it."""

    p50: float
    p99: float
    longest: float

    def figures(self) -> dict[str, float]:
        return {"p50_s": round(self.p50, 3), "p99_s": round(self.p99, 3), "longest_s": round(self.longest, 3)}


@dataclass(frozen=True, slots=True)
class Report:
    """`disorder`: readings that overtook another of their device. `canaries` by where they were found."""

    poison: int
    balance: Balance
    disorder: int
    door_errors: int
    canaries: dict[str, int]
    without: Delay
    delay: Delay

    @property
    def is_well(self) -> bool:
        """Every packet got what it deserves, in order, and nothing of the withdrawn is anywhere but in the input."""
        kept = {place: count for place, count in self.canaries.items() if count and place != READINGS}
        return (
            self.balance.is_even and not (self.disorder or self.door_errors or kept) and bool(self.canaries[READINGS])
        )

    def figures(self) -> dict[str, object]:
        return {
            "poison": self.poison,
            **self.balance.figures(),
            "disorder": self.disorder,
            "door_errors": self.door_errors,
            "canaries": self.canaries,
            "without_poison": self.without.figures(),
            "with_poison": self.delay.figures(),
            "longer_s": round(self.delay.longest - self.without.longest, 3),
        }


def run(folder: Path, *, bad: int, good: int, rate: float, say: Say = lambda what: None) -> Report:
    """First so many good packets alone at this rate, then as many with the bad ones evenly between them."""
    with Pipeline(folder) as pipeline:
        say("a door and a worker run")
        alone, without = _send(pipeline, islice(ward("a"), good), rate)
        say(f"without poison: {without.delay().figures()}")
        mixture = _between(list(poison(bad)), list(islice(ward("b"), good)))
        mixed, witness = _send(pipeline, mixture, rate * (good + bad) / good)
        say(f"with poison: {witness.delay().figures()}")
        wait_for("everything admitted is archived", pipeline.archived)
        lake = Path(readings_url(str(pipeline.lake)))
        outcomes = rows_of_lake(lake), entries_of_refused(pipeline.bootstrap)
        return Report(
            poison=bad,
            balance=balance(alone | mixed, pipeline.readings_id, *outcomes),
            disorder=disorder(pipeline.bootstrap),
            door_errors=pipeline.door_errors(),
            canaries=_canaries(pipeline, lake),
            without=without.delay(),
            delay=witness.delay(),
        )


def _between(bad: list[Packet], good: list[Packet]) -> Iterator[Packet]:
    """All of both, the bad ones evenly among the good."""
    taken = 0
    for number, each in enumerate(good, 1):
        yield each
        while taken < len(bad) * number // len(good):
            yield bad[taken]
            taken += 1


def _send(pipeline: Pipeline, packets: Iterable[Packet], rate: float) -> tuple[dict[tuple[int, int], Sent], "Witness"]:
    witness = Witness(pipeline.bootstrap)
    traffic = Traffic(pipeline.bootstrap, packets, rate).start()
    traffic.finish()
    wait_for("every packet is decided", pipeline.decided)
    witness.stop()
    return traffic.sent, witness


class Witness:
    """Reads `vitals.admitted` from its present end, and notes when each reading came."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(consumer_config(bootstrap, "witness"))
        places = [TopicPartition(ADMITTED, p) for p in range(settings.ADMITTED_PARTITIONS)]
        for place in places:
            place.offset = self._consumer.get_watermark_offsets(place, timeout=30)[1]
        self._consumer.assign(places)
        self._stop = threading.Event()
        self._heard: list[tuple[datetime, int, bytes]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        quiet = False
        while not (self._stop.is_set() and quiet):
            message = self._consumer.poll(0.2)
            quiet = message is None
            if message is not None and message.error() is None:
                self._heard.append((datetime.now(UTC), message.partition(), message.value()))
        self._consumer.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def delay(self) -> Delay:
        """Of the ward's own readings; those that are poison in part are left out."""
        delays = []
        for at, _, value in self._heard:
            rows = from_messages([value]).select(["record_id", "received_at"]).to_pylist()
            delays += [(at - r["received_at"]).total_seconds() for r in rows if not r["record_id"].startswith("x")]
        return Delay(*np.quantile(delays, [0.5, 0.99, 1.0]).tolist())


def _canaries(pipeline: Pipeline, lake: Path) -> dict[str, int]:
    """How often the canary was found, by place; a place may be searched as it lies and once more unpacked."""
    topics = {
        topic: messages_of(pipeline.bootstrap, topic, "read_uncommitted") for topic in (READINGS, ADMITTED, REFUSED)
    }
    files = [path.read_bytes() for path in lake.rglob("*") if path.is_file()]
    rows = [repr(pq.ParquetFile(lake / name).read().to_pylist()).encode() for name in files_named(lake)]
    places = {
        READINGS: topics[READINGS],
        ADMITTED: [*topics[ADMITTED], *(repr(from_messages([m]).to_pylist()).encode() for m in topics[ADMITTED])],
        REFUSED: topics[REFUSED],
        "the lake": [*files, *rows],
        "logs": [pipeline.said().encode()],
        "Redis": list(_values_of_redis()),
        "the database": list(_rows_of_database()),
    }
    look = re.compile(b"|".join(map(re.escape, disguises(CANARY.encode()))))
    return {place: sum(len(look.findall(text)) for text in texts) for place, texts in places.items()}


def disguises(text: bytes) -> list[bytes]:
    """The text as it is, and as it looks inside Base64, which depends on where in a group of three bytes it begins."""
    found = [text]
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + text)
        found.append(encoded[(0, 2, 3)[shift] : (shift + len(text)) * 8 // 6])
    return found


def _values_of_redis() -> Iterator[bytes]:
    """Everything in our database of Redis."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
    }
    for key in client.scan_iter():
        if (kind := client.type(key)) != b"none":  # it may have expired just now
            yield key + repr(read[kind](key)).encode()


def _rows_of_database() -> Iterator[bytes]:
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            cursor.execute(f"SELECT {name}::text FROM {name}")
            yield from (row[0].encode() for row in cursor.fetchall())
