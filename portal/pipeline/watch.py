"""The watcher as a process: `vitals.admitted` in, episodes, alerts and latest values out.

Order: one database transaction (the watcher's position, advanced only by its owner; episodes, alerts, outbox) ->
latest values and the hint to open pages -> checkpoint of the windows -> Kafka offset. Each step may be the last one:

- Killed after the transaction: the restart takes the older checkpoint, moves its windows silently up to the database's
  position, and goes on. Nothing is decided twice.
- Stopped and woken, or slow, after another watcher took over: the position cannot be advanced, and the process ends.
- Redis emptied or away: alerts are in the database all the same; open pages find them by their own look, and the
  windows are rebuilt from the last day of the log.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from django.conf import settings
from django.db import transaction

from analytics.episodes import Transition
from analytics.terms import Terms
from analytics.ward import Ward
from ingestion.door import partition_of
from ingestion.ends import Ends
from ingestion.kafka import ADMITTED, consumer_config, from_messages, is_end, topic_id
from portal.alerts.live import announce
from portal.alerts.models import Episode
from portal.alerts.services import transitions_apply
from portal.pipeline.checkpoint import checkpoint_read, checkpoint_write
from portal.pipeline.latest import Latest, latest_of, latest_since, latest_write, progress_write, redis_may_fail
from portal.pipeline.models import WatchPosition
from portal.pipeline.process import crash_point
from portal.pipeline.terms import LiveTerms

log = logging.getLogger(__name__)

MESSAGES_AT_ONCE = 200
LINGER_S = 0.05  # how long a reading may wait for company
SETTLE_S = 1.0  # how often position, checkpoint and offset follow when nothing was decided
CALL_S = 30.0
REBUILT_FROM = timedelta(days=1)  # how much of the log is read when there is no checkpoint


class OwnerChanged(Exception):
    """Another watcher has this partition now: this process must end without having decided anything more."""


@dataclass(slots=True)
class Watched:
    """One partition: its people, the next offset to read, and up to where the database has decided."""

    ward: Ward
    next: int
    decided: int
    settled: int


class Watch:
    """One watcher. As many as wanted run in one consumer group; `owner` is new for each process."""

    def __init__(self, bootstrap: str, *, owner: str, group: str = "watcher") -> None:
        self._owner = owner
        self._topic_id = topic_id(bootstrap, ADMITTED)
        self._partitions: dict[int, Watched] = {}
        self._changed_terms = LiveTerms()
        self._terms = Terms([])
        self._settled = time.monotonic()
        self._values_since: datetime | None = None
        self._consumer = Consumer(consumer_config(bootstrap, group))
        self._ends = Ends(self._consumer, ADMITTED)
        self._consumer.subscribe([ADMITTED], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop()`. Raises OwnerChanged, or an error of the broker or the database: then end, restart."""
        try:
            while not stop():
                self.step()
            self._settle()
        finally:
            self._consumer.close()

    def step(self) -> None:
        """One micro-batch."""
        now = datetime.now(UTC)
        self._look_at_plans(now)
        messages = self._read()
        transitions, latest = self._score(messages)
        if transitions:
            crash_point("after_score")
            organisations = self._decide(transitions, now)
            crash_point("after_database")
            with redis_may_fail():
                latest_write(latest)
                announce(organisations)
            crash_point("after_announce")
            self._settle(crash_point)
        else:
            with redis_may_fail():
                latest_write(latest)
            if time.monotonic() - self._settled >= SETTLE_S:
                self._settle()
        if passed := self._ends.passed({p: w.next for p, w in self._partitions.items()}, now):
            with redis_may_fail():
                progress_write("watcher", passed)

    def _look_at_plans(self, now: datetime) -> None:
        if (terms := self._changed_terms(now)) is None:
            return
        self._terms = terms
        for partition, watched in self._partitions.items():
            watched.ward.terms_are(terms)
            watched.ward.open_episodes_are(self._open_episodes(partition))

    def _read(self) -> list[Message]:
        messages = []
        for message in self._consumer.consume(MESSAGES_AT_ONCE, LINGER_S):
            watched = self._partitions.get(message.partition())
            if (error := message.error()) is None:
                messages.append(message)
            elif not is_end(error):
                raise KafkaException(error)
            elif watched is not None:
                watched.next = max(watched.next, message.offset())
        return messages

    def _score(self, messages: list[Message]) -> tuple[list[Transition], list]:
        transitions, latest = [], []
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            by_partition.setdefault(message.partition(), []).append(message)
        for partition, arrived in by_partition.items():
            watched = self._partitions[partition]
            known = [m.value() for m in arrived if m.offset() < watched.decided]
            new = [m.value() for m in arrived if m.offset() >= watched.decided]
            for values, decide in ((known, False), (new, True)):
                if values:
                    readings = from_messages(values)
                    transitions += watched.ward.take(readings, decide=decide)
                    latest += latest_of(readings)
            watched.next = arrived[-1].offset() + 1
        return transitions, latest

    def _decide(self, transitions: list[Transition], now: datetime) -> set[int]:
        """Positions, episodes, alerts and outbox, in one transaction; the organisations to tell."""
        with transaction.atomic():
            for partition, watched in sorted(self._partitions.items()):
                position = max(watched.next, watched.decided)
                mine = WatchPosition.objects.filter(
                    topic_id=self._topic_id, partition=partition, owner=self._owner
                ).update(position=position)
                if mine != 1:
                    raise OwnerChanged(f"partition {partition} has another watcher now")
            organisations = transitions_apply(transitions, now=now)
        for watched in self._partitions.values():
            watched.decided = max(watched.next, watched.decided)
        return organisations

    def _settle(self, passing: Callable[[str], None] = lambda place: None) -> None:
        """Let position, checkpoint and offset follow, in this order; `passing` is told each place between them."""
        self._settled = time.monotonic()
        moved = {p: w for p, w in self._partitions.items() if w.next > w.settled}
        if any(w.next > w.decided for w in moved.values()):
            self._decide([], datetime.now(UTC))
        with redis_may_fail():
            for partition, watched in moved.items():
                checkpoint_write(self._topic_id, partition, watched.next, watched.ward)
            self._refill_if_emptied()
        passing("after_checkpoint")
        if moved:
            self._consumer.commit(
                offsets=[TopicPartition(ADMITTED, p, w.next) for p, w in moved.items()], asynchronous=False
            )
        passing("after_offset")
        for watched in moved.values():
            watched.settled = watched.next

    def _refill_if_emptied(self) -> None:
        """A Redis that was emptied gets every latest value again, not only those that come next."""
        since = latest_since(datetime.now(UTC))
        if since != self._values_since:
            for watched in self._partitions.values():
                latest_write((s, vital, Latest(v, at, device)) for s, vital, v, at, device in watched.ward.latest())
            self._values_since = since

    # --- partitions come and go ---

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take each partition over: from now on its former owner can decide nothing."""
        now = datetime.now(UTC)
        if (terms := self._changed_terms(now)) is not None:
            self._terms = terms
        for partition in partitions:
            decided = self._take_over(partition.partition)
            found = None
            with redis_may_fail():
                found = checkpoint_read(self._topic_id, partition.partition)
            oldest, _ = consumer.get_watermark_offsets(partition, timeout=CALL_S)
            start, ward = found or (self._rebuild_from(consumer, partition, decided, now), Ward())
            partition.offset = max(start, oldest)
            ward.terms_are(self._terms)
            ward.open_episodes_are(self._open_episodes(partition.partition))
            self._partitions[partition.partition] = Watched(
                ward, next=partition.offset, decided=decided, settled=partition.offset
            )
            log.info("partition %d: from offset %d, decided up to %d", partition.partition, partition.offset, decided)
        consumer.assign(partitions)

    def _take_over(self, partition: int) -> int:
        with transaction.atomic():
            position, _ = WatchPosition.objects.get_or_create(
                topic_id=self._topic_id, partition=partition, defaults={"position": 0, "owner": self._owner}
            )
            position = WatchPosition.objects.select_for_update().get(pk=position.pk)
            position.owner = self._owner
            position.save(update_fields=["owner"])
        return position.position

    def _rebuild_from(self, consumer: Consumer, partition: TopicPartition, decided: int, now: datetime) -> int:
        milliseconds = int((now - REBUILT_FROM).timestamp() * 1000)
        asked = TopicPartition(partition.topic, partition.partition, milliseconds)
        (found,) = consumer.offsets_for_times([asked], timeout=CALL_S)
        return min(found.offset, decided) if found.offset >= 0 else decided

    def _open_episodes(self, partition: int) -> Iterator[tuple[str, str, int]]:
        rows = Episode.objects.filter(ended_at__isnull=True).values_list("patient__subject", "cause", "level")
        return (row for row in rows if partition_of(row[0], settings.ADMITTED_PARTITIONS) == partition)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle()
        self._lost(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._partitions.pop(partition.partition, None)
