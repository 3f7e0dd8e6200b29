"""Is every packet in the lake or in the refused, once, and nothing else? The files and the topic themselves say it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
from confluent_kafka import Consumer, TopicPartition

from ingestion.kafka import ADMITTED, REFUSED, consumer_config, from_messages
from tests.faults.traffic import LAKE, Place, Sent

COLUMNS = ["source_topic", "source_partition", "source_offset", "record_id"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the lake or a refused packet: where it came from, what became of it (LAKE or a reason), what it was."""

    topic_id: str
    place: Place
    what: str
    record_id: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """`foreign` are outcomes of no packet of ours, `wrong` those that are not what was sent or not what it deserves."""

    sent: int
    in_lake: int
    refused: int
    lost: list[Place]
    doubled: list[Place]
    foreign: list[Outcome]
    wrong: list[Outcome]

    @property
    def is_even(self) -> bool:
        return not (self.lost or self.doubled or self.foreign or self.wrong)

    def figures(self) -> dict[str, int]:
        counted = {name: len(getattr(self, name)) for name in ("lost", "doubled", "foreign", "wrong")}
        return {"sent": self.sent, "in_lake": self.in_lake, "refused": self.refused, **counted}


def balance(
    sent: Mapping[Place, Sent], topic_id: str, in_lake: Iterable[Outcome], refused: Iterable[Outcome]
) -> Balance:
    """Compare what was sent to the topic of this id with what came of it."""
    in_lake, refused = list(in_lake), list(refused)
    ours, foreign = [], []
    for outcome in [*in_lake, *refused]:
        (ours if outcome.topic_id == topic_id and outcome.place in sent else foreign).append(outcome)
    times = Counter(outcome.place for outcome in ours)
    return Balance(
        sent=len(sent),
        in_lake=len(in_lake),
        refused=len(refused),
        lost=[place for place in sent if place not in times],
        doubled=[place for place, count in times.items() if count > 1],
        foreign=foreign,
        wrong=[outcome for outcome in ours if _differs(outcome, sent[outcome.place])],
    )


def _differs(outcome: Outcome, sent: Sent) -> bool:
    if outcome.what != sent.deserves:
        return True
    if outcome.what == LAKE:
        return outcome.record_id != sent.record_id
    return outcome.sha256 != sent.sha256


def files_named(table: Path) -> set[str]:
    """The files that the commits of a Delta table name and have not removed, relative to it."""
    named: set[str] = set()
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            entry = json.loads(line)
            if "add" in entry:
                named.add(unquote(entry["add"]["path"]))
            if "remove" in entry:
                named.discard(unquote(entry["remove"]["path"]))
    return named


def rows_of_lake(table: Path) -> list[Outcome]:
    """Every row of the table, doubles and all."""
    rows = []
    for name in sorted(files_named(table)):
        columns = pq.ParquetFile(table / name).read(COLUMNS).to_pydict()
        for topic, partition, offset, record_id in zip(*(columns[c] for c in COLUMNS), strict=True):
            rows.append(Outcome(topic, (partition, offset), LAKE, record_id=record_id))
    return rows


def messages_of(bootstrap: str, topic: str, isolation: str = "read_committed") -> list[bytes]:
    """Every message of a topic."""
    consumer = Consumer(consumer_config(bootstrap, "balance") | {"isolation.level": isolation})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    values, unread = [], set(partitions)
    while unread:
        for message in consumer.consume(1000, 0.2):
            if message.error() is None:
                values.append(message.value() or b"")
            else:
                unread.discard(message.partition())
    consumer.close()
    return values


def entries_of_refused(bootstrap: str) -> list[Outcome]:
    entries = (json.loads(value) for value in messages_of(bootstrap, REFUSED))
    return [Outcome(e["topic_id"], (e["partition"], e["offset"]), e["reason"], sha256=e["sha256"]) for e in entries]


def disorder(bootstrap: str) -> int:
    """How many admitted readings came after a later one of the same device and partition."""
    last: dict[tuple[str, int], int] = {}  # a packet without a key may come to any partition
    wrong = 0
    for message in messages_of(bootstrap, ADMITTED):
        for row in from_messages([message]).select(["device_id", "source_partition", "source_offset"]).to_pylist():
            way = row["device_id"], row["source_partition"]
            wrong += row["source_offset"] <= last.get(way, -1)
            last[way] = row["source_offset"]
    return wrong
