"""Did every packet reach the lake or the refused, once? An audit that walks the broker's own log.

The log of `vitals.readings` says which offsets hold a packet (control records hold none). Each must be found once: as
the source of a row in the lake, as the source of a refused packet, or on its way, admitted and not yet archived. Three
more answers are in order: the same reading was delivered again and sealing kept the later receipt; the person was
erased; nobody has decided it yet. Anything else is missing. One that is found twice is doubled.

Order matters, and is: the door's position, then one snapshot of the table, then what is admitted behind that snapshot,
then what is refused. What was decided before the first is in one of the others.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Consumer, TopicPartition
from deltalake import DeltaTable

from ingestion.kafka import ADMITTED, READINGS, REFUSED, consumer_config, from_messages, topic_id
from ingestion.lake import INSTANT, NATURAL_KEY, open_readings, position
from ingestion.path import position_of
from ingestion.reading import ARROW_TYPES, decode
from ingestion.refused import parse
from ingestion.walk import CALL_S, bounds, walk

OFFSETS_AT_ONCE = 50_000_000  # one pass holds two bytes for each
SHOWN = 20  # coordinates of the missing and of the doubled that are named
OPEN_TRANSACTION_S = 20.0  # the broker ends one after 10 s

Coordinates = tuple[int, int]  # partition and offset in `vitals.readings`


@dataclass(slots=True)
class Audit:
    """What the audit found of offsets [begin, end) of each partition.

    When nothing is doubled, `packets` is the sum of all counts between it and `doubled`.
    `undecided` counts the offsets behind the door's position: they are not audited.
    """

    topic_id: str
    begin: dict[int, int]
    end: dict[int, int]
    undecided: int = 0
    packets: int = 0
    in_lake: int = 0
    refused: int = 0
    on_the_way: int = 0
    delivered_again: int = 0
    erased: int = 0
    missing: int = 0
    doubled: int = 0
    missing_at: list[Coordinates] = field(default_factory=list)
    doubled_at: list[Coordinates] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.missing and not self.doubled


@dataclass(slots=True)
class _Window:
    """A stretch of offsets of each partition: whether there is a packet, and how often it was found."""

    begin: dict[int, int]
    there: dict[int, np.ndarray]
    found: dict[int, np.ndarray]

    def mark(self, partitions: np.ndarray, offsets: np.ndarray) -> int:
        """Note that these were found; how many lie in the window."""
        count = 0
        for partition in np.unique(partitions).tolist():
            if partition not in self.begin:
                continue
            places = offsets[partitions == partition] - self.begin[partition]
            places = places[(places >= 0) & (places < len(self.found[partition]))]
            # Not `+= 1`: it would count a place that comes twice in one batch once.
            np.add.at(self.found[partition], places, 1)
            count += len(places)
        return count


def audit(
    bootstrap: str,
    lake: str,
    *,
    start: Mapping[int, int] | None = None,
    since: datetime | None = None,
    erased: Collection[str] = (),
    offsets_at_once: int = OFFSETS_AT_ONCE,
    progress: Callable[[int], None] = lambda packets: None,
) -> Audit:
    """Audit from `start` offsets or from the packets received `since` (with a time zone), else the whole log.

    `erased` are the subjects of people whose tombstones stand. Needs two bytes for each of `offsets_at_once` offsets;
    a longer log takes several passes. `progress` is told how many packets were walked. Raises KafkaException if the
    broker fails and TimeoutError if a transaction stays open.
    """
    consumer = Consumer(consumer_config(bootstrap, "audit"))
    try:
        span = bounds(consumer, READINGS)
        decided = position_of(bootstrap, "door", READINGS, span)
        first = {p: oldest for p, (oldest, _) in span.items()}
        if since is not None:
            first = _first_since(consumer, READINGS, since)
        begin = {p: max((start or first).get(p, oldest), oldest) for p, (oldest, _) in span.items()}
    finally:
        consumer.close()
    end = {p: max(min(decided[p], span[p][1]), begin[p]) for p in span}
    done = Audit(topic_id(bootstrap, READINGS), begin, end)
    done.undecided = sum(max(span[p][1] - max(end[p], begin[p]), 0) for p in span)
    sources = _Sources(bootstrap, lake, done.topic_id, open_readings(lake))
    for window in _windows(begin, end, offsets_at_once):
        _one_pass(sources, window, done, erased, progress)
    return done


def _windows(begin: Mapping[int, int], end: Mapping[int, int], at_once: int) -> Iterator[_Window]:
    longest = sum(end[p] - begin[p] for p in begin)
    passes = max(-(-longest // at_once), 1)
    for turn in range(passes):
        low = {p: begin[p] + (end[p] - begin[p]) * turn // passes for p in begin}
        high = {p: begin[p] + (end[p] - begin[p]) * (turn + 1) // passes for p in begin}
        length = {p: high[p] - low[p] for p in begin if high[p] > low[p]}
        yield _Window(
            {p: low[p] for p in length},
            {p: np.zeros(n, bool) for p, n in length.items()},
            {p: np.zeros(n, np.uint8) for p, n in length.items()},
        )


class _Sources:
    """Where a packet can be found, at one moment."""

    def __init__(self, bootstrap: str, lake: str, topic: str, table: DeltaTable) -> None:
        self._bootstrap, self.topic, self._lake = bootstrap, topic, lake
        self._table = table
        self._data = table.to_pyarrow_dataset()
        admitted = topic_id(bootstrap, ADMITTED)
        partitions = self._partitions(ADMITTED)
        self._archived = {p: position(table, admitted, p) or 0 for p in partitions}

    def _partitions(self, topic: str) -> list[int]:
        consumer = Consumer(consumer_config(self._bootstrap, "audit"))
        try:
            return list(bounds(consumer, topic))
        finally:
            consumer.close()

    def packets(self, window: _Window) -> Iterator[tuple[np.ndarray, np.ndarray, list[bytes], int]]:
        """The log itself: partitions, offsets, packets and the earliest time of receipt (ms), batch by batch."""
        stop = {p: low + len(window.there[p]) for p, low in window.begin.items()}
        for batch in walk(self._bootstrap, READINGS, start=window.begin, stop=stop):
            partitions = np.fromiter((m.partition() for m in batch), np.int64, len(batch))
            offsets = np.fromiter((m.offset() for m in batch), np.int64, len(batch))
            yield partitions, offsets, [m.value() or b"" for m in batch], min(m.timestamp()[1] for m in batch)

    def rows(self, window: _Window, since_ms: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Source coordinates of the table's rows. Files without a row received since then are not opened.

        To the second: sealed days keep `received_at` no finer.
        """
        wanted = pc.field("source_topic") == self.topic
        wanted &= pc.field("received_at") >= pa.scalar(since_ms // 1000 * 1_000_000, pa.int64()).cast(INSTANT)
        columns = ["source_partition", "source_offset"]
        for batch in self._data.scanner(columns=columns, filter=wanted, batch_size=65536).to_batches():
            yield _coordinates(batch)

    def on_the_way(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Source coordinates of what is admitted behind the table's snapshot."""
        for batch in walk(self._bootstrap, ADMITTED, start=self._archived, at_once=200, wait_s=OPEN_TRANSACTION_S):
            yield _coordinates(from_messages(m.value() for m in batch).filter(pc.field("source_topic") == self.topic))

    def refused(self, since_ms: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        consumer = Consumer(consumer_config(self._bootstrap, "audit"))
        try:
            start = _first_since(consumer, REFUSED, datetime.fromtimestamp(since_ms / 1000, UTC))
        finally:
            consumer.close()
        for batch in walk(self._bootstrap, REFUSED, start=start, wait_s=OPEN_TRANSACTION_S):
            at = [p.at for p in map(parse, batch) if p.at.topic_id == self.topic]
            yield (
                np.fromiter((a.partition for a in at), np.int64, len(at)),
                np.fromiter((a.offset for a in at), np.int64, len(at)),
            )

    def of_erased(self, erased: Collection[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Source coordinates of what was admitted of erased people, as long as Kafka has it."""
        subjects = pa.array(sorted(erased), pa.string())
        for batch in walk(self._bootstrap, ADMITTED, at_once=200, wait_s=OPEN_TRANSACTION_S):
            rows = from_messages(m.value() for m in batch)
            theirs = pc.is_in(rows["subject"], subjects)
            yield _coordinates(rows.filter(pc.and_(theirs, pc.equal(rows["source_topic"], self.topic))))

    def holds(self, packets: list[bytes]) -> np.ndarray:
        """Of each packet, whether the table has a row with its natural key."""
        decoded = decode(packets)
        held = np.zeros(len(packets), bool)
        if not len(decoded.rows):
            return held
        low, high = (int(f(decoded.measured_at)) for f in (np.min, np.max))
        devices = pa.array(sorted(set(decoded.device_id)), pa.string())
        wanted = pc.field("measured_at") >= pa.scalar(low, pa.int64()).cast(INSTANT)
        wanted &= pc.field("measured_at") <= pa.scalar(high, pa.int64()).cast(INSTANT)
        known: set[tuple[object, ...]] = set()
        for batch in self._data.scanner(columns=[*NATURAL_KEY, *ARROW_TYPES], filter=wanted).to_batches():
            rows = batch.filter(pc.is_in(batch["device_id"].cast(pa.string()), devices))
            known.update(_keys(rows, rows["device_id"], rows["measured_at"].cast(pa.int64()), rows["record_id"]))
        mine = _keys(decoded.vitals, decoded.device_id, decoded.measured_at, decoded.record_id)
        for place, key in zip(decoded.rows.tolist(), mine, strict=True):
            held[place] = key in known
        return held


def _keys(
    vitals: Mapping[str, pa.Array] | pa.RecordBatch, devices: Any, times: Any, records: Any
) -> Iterator[tuple[object, ...]]:
    """What makes two packets the same reading: device, time, the source's id, or the measured values without one."""
    values = zip(*(vitals[name].to_pylist() for name in ARROW_TYPES), strict=True)
    columns = (column.to_pylist() if isinstance(column, pa.Array) else list(column) for column in (devices, records))
    for device, record, at, measured in zip(*columns, np.asarray(times).tolist(), values, strict=True):
        yield (device, at, record) if record else (device, at, *measured)


def _one_pass(
    sources: _Sources, window: _Window, done: Audit, erased: Collection[str], progress: Callable[[int], None]
) -> None:
    since_ms = None
    for partitions, offsets, packets, first in sources.packets(window):
        since_ms = first if since_ms is None else min(since_ms, first)
        for partition in np.unique(partitions).tolist():
            window.there[partition][offsets[partitions == partition] - window.begin[partition]] = True
        done.packets += len(packets)
        progress(len(packets))
    if since_ms is None:
        return
    done.in_lake += sum(window.mark(*at) for at in sources.rows(window, since_ms))
    done.on_the_way += sum(window.mark(*at) for at in sources.on_the_way())
    done.refused += sum(window.mark(*at) for at in sources.refused(since_ms))
    doubled = {p: np.flatnonzero(found > 1) + window.begin[p] for p, found in window.found.items()}
    done.doubled += sum(map(len, doubled.values()))
    _name(done.doubled_at, doubled)

    if not any(_unfound(window).values()):
        return
    if erased:
        for at in sources.of_erased(erased):
            before = sum(_unfound(window).values())
            window.mark(*at)
            done.erased += before - sum(_unfound(window).values())
    for partitions, offsets, packets, _ in sources.packets(window):
        open_ = [i for i, (p, o) in enumerate(zip(partitions, offsets, strict=True)) if _is_open(window, p, o)]
        if open_:
            held = sources.holds([packets[i] for i in open_])
            again = np.array(open_)[held]
            done.delivered_again += window.mark(partitions[again], offsets[again])
    missing = {p: np.flatnonzero(window.there[p] & (window.found[p] == 0)) + low for p, low in window.begin.items()}
    done.missing += sum(map(len, missing.values()))
    _name(done.missing_at, missing)


def _is_open(window: _Window, partition: int, offset: int) -> bool:
    return bool(window.found[partition][offset - window.begin[partition]] == 0)


def _unfound(window: _Window) -> dict[int, int]:
    return {p: int((there & (window.found[p] == 0)).sum()) for p, there in window.there.items()}


def _name(named: list[Coordinates], places: Mapping[int, np.ndarray]) -> None:
    for partition, offsets in sorted(places.items()):
        named += [(partition, o) for o in offsets[: SHOWN - len(named)].tolist()]


def _coordinates(rows: pa.Table | pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    partitions, offsets = (np.asarray(rows[name]) for name in ("source_partition", "source_offset"))
    return partitions.astype(np.int64), offsets


def _first_since(consumer: Consumer, topic: str, since: datetime) -> dict[int, int]:
    """The first offset of each partition that came in at or after this time; the end where nothing did."""
    span = bounds(consumer, topic)
    milliseconds = int(since.timestamp() * 1000)
    asked = consumer.offsets_for_times([TopicPartition(topic, p, milliseconds) for p in span], timeout=CALL_S)
    return {f.partition: f.offset if f.offset >= 0 else span[f.partition][1] for f in asked}
