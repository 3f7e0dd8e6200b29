"""The watcher as a process: `vitals.admitted` in, episodes, alerts and latest values out.

Both layers see every reading (`analytics.layers`): the ward with limits, and the personal one with people's models.
Order: one database transaction (the watcher's position, advanced only by its owner; episodes, alerts, outbox) ->
latest values and the hint to open pages -> checkpoint of the windows -> Kafka offset. Each step may be the last one:

- Killed after the transaction: the restart takes the older checkpoint, moves its windows silently up to the database's
  position, and goes on. Nothing is decided twice.
- Any error: as if killed. Leaving the group must not settle what was scored and never decided.
- Stopped and woken, or slow, after another watcher took over: the position cannot be advanced, and the process ends.
- Redis emptied or away: alerts are in the database all the same; open pages find them by their own look, and the
  windows are rebuilt from the last day of the log.
- A message that is not Arrow is left out, with an error in the log: it must not end the watch of everybody behind it.
  Arrow with other columns is not left out but ends the process: then the door is of another version than we are.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from django.conf import settings
from django.db import transaction
from django.db.models import Case, When

from analytics.episodes import Transition
from analytics.layers import Layers
from analytics.personal import KeptBack, Personal
from analytics.terms import Terms
from analytics.ward import Ward
from ingestion.door import partition_of
from ingestion.ends import Ends
from ingestion.kafka import ADMITTED, consumer_config, from_messages, is_end, topic_id
from portal.alerts.live import announce
from portal.alerts.models import Episode
from portal.alerts.services import transitions_apply
from portal.personal.kept import kept_back_record
from portal.personal.live import LiveModels, models_of, tags_of
from portal.pipeline.checkpoint import checkpoint_read, checkpoints_write, personal_read, personal_write
from portal.pipeline.latest import Latest, latest_of, latest_since, latest_write, progress_write, redis_may_fail
from portal.pipeline.models import WatchPosition
from portal.pipeline.process import crash_point
from portal.pipeline.terms import LiveTerms

log = logging.getLogger(__name__)

MESSAGES_AT_ONCE = 200
LINGER_S = 0.05  # how long a reading may wait for company
TOPIC_LOOK_S = 30.0  # how often it is asked whether the topic still is the same
SETTLE_S = 1.0  # how often position, checkpoint and offset follow when nothing was decided
PERSONAL_S = 60.0  # how often the personal layer's windows are kept
CALL_S = 30.0
REBUILT_FROM = timedelta(days=1)  # how much of the log is read when there is no checkpoint
UNREADABLE = (pa.ArrowException, OSError)  # what pyarrow says of bytes that are not Arrow


class OwnerChanged(Exception):
    """Another watcher has this partition now: this process must end without having decided anything more."""


class TopicMadeAnew(Exception):
    """The topic was deleted and made again, and the client would go on at positions of the old one."""


@dataclass(slots=True)
class Watched:
    """One partition: its people, the next offset to read, and up to where the database has decided.

    `ward_from` and `personal_from` are the offsets from which each layer's windows go on: after a restart, what lies
    before is in them already.
    """

    layers: Layers
    next: int
    decided: int
    settled: int
    ward_from: int
    personal_from: int
    personal_kept: float  # when, by the monotonic clock


class Watch:
    """One watcher. As many as wanted run in one consumer group; `owner` is new for each process."""

    def __init__(self, bootstrap: str, *, owner: str, group: str = "watcher") -> None:
        self._bootstrap, self._owner = bootstrap, owner
        self._topic_id, self._topic_seen = "", time.monotonic()
        self._partitions: dict[int, Watched] = {}
        self._changed_terms, self._changed_models = LiveTerms(), LiveModels()
        self._terms = Terms([])
        self._settled = time.monotonic()
        self._values_since: datetime | None = None
        self._consumer = Consumer(consumer_config(bootstrap, group))
        self._ends = Ends(self._consumer, ADMITTED)
        self._consumer.subscribe([ADMITTED], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop()`. Raises OwnerChanged, TopicMadeAnew, or an error of broker or database: then restart."""
        try:
            while not stop():
                self.step()
            self._settle(everything=True)
        except BaseException:
            self._partitions.clear()  # so that `close`, which revokes them, has nothing to settle
            raise
        finally:
            self._consumer.close()

    def step(self) -> None:
        """One micro-batch."""
        now = datetime.now(UTC)
        self._look_at_topic()
        self._look_at_plans(now)
        self._look_at_models(now)
        transitions, kept, latest = self._score(*self._read())
        if transitions or kept:
            crash_point("after_score")
            organisations = self._decide(transitions, now, kept)
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

    def _look_at_topic(self) -> None:
        if not self._partitions or time.monotonic() - self._topic_seen < TOPIC_LOOK_S:
            return
        self._topic_seen = time.monotonic()
        with suppress(KafkaException):  # a broker that does not answer says nothing about the topic
            if topic_id(self._bootstrap, ADMITTED) != self._topic_id:
                raise TopicMadeAnew(f"{ADMITTED} was deleted and made again: start at its beginning")

    def _look_at_plans(self, now: datetime) -> None:
        if (terms := self._changed_terms(now)) is None:
            return
        self._terms = terms
        for watched in self._partitions.values():
            watched.layers.terms_are(terms)
        self._look_at_episodes()

    def _look_at_models(self, now: datetime) -> None:
        if not self._changed_models.changed():
            return
        for partition, watched in self._partitions.items():
            watched.layers.personal.models_are(models_of(partition, now))
            watched.layers.personal.tags_are(tags_of(partition, now))
        self._look_at_episodes()

    def _look_at_episodes(self) -> None:
        episodes = _open_episodes()
        for partition, watched in self._partitions.items():
            watched.layers.open_episodes_are(episodes.get(partition, ()))

    def _read(self) -> tuple[dict[int, list[Message]], dict[int, int]]:
        """Messages that have not been scored yet, and ends that were reached, by partition.

        A rebalance may come while these are gathered: what is of a partition that has gone is left to its new watcher.
        """
        arrived: dict[int, list[Message]] = {}
        ends: dict[int, int] = {}
        for message in self._consumer.consume(MESSAGES_AT_ONCE, LINGER_S):
            partition = message.partition()
            if (error := message.error()) is not None and not is_end(error):
                raise KafkaException(error)
            if (watched := self._partitions.get(partition)) is None or message.offset() < watched.next:
                continue
            if error is None:
                arrived.setdefault(partition, []).append(message)
            else:
                ends[partition] = message.offset()
        return arrived, ends

    def _score(
        self, arrived: dict[int, list[Message]], ends: dict[int, int]
    ) -> tuple[list[Transition], list[KeptBack], list[tuple[str, str, Latest]]]:
        transitions: list[Transition] = []
        kept: list[KeptBack] = []
        taken: list[pa.Table] = []
        for partition, messages in arrived.items():
            watched = self._partitions[partition]
            for some in _alike(messages, watched):
                offset = some[0].offset()
                readings = _readings(some)
                steps, held = watched.layers.take(
                    readings,
                    decide=offset >= watched.decided,
                    ward=offset >= watched.ward_from,
                    personal=offset >= watched.personal_from,
                )
                transitions += steps
                kept += held
                taken.append(readings)
            watched.next = messages[-1].offset() + 1
        for partition, end in ends.items():  # past the last message there may be marks of transactions
            self._partitions[partition].next = max(self._partitions[partition].next, end)
        return transitions, kept, latest_of(pa.concat_tables(taken)) if taken else []

    def _decide(self, transitions: list[Transition], now: datetime, kept: Sequence[KeptBack] = ()) -> set[int]:
        """Positions, episodes, alerts and outbox, in one transaction; the organisations to tell."""
        with transaction.atomic():
            self._advance({p: max(w.next, w.decided) for p, w in self._partitions.items()})
            kept_back_record(kept)
            organisations = transitions_apply(transitions, now=now)
            if transitions:
                crash_point("before_commit")
        for watched in self._partitions.values():
            watched.decided = max(watched.next, watched.decided)
        if transitions:  # what the database did not take, as of somebody whose pause ends just now, is not open
            self._look_at_episodes()
        return organisations

    def _advance(self, positions: Mapping[int, int]) -> None:
        """Write these positions of our partitions, in one query. Raises OwnerChanged if one of them is another's."""
        mine = WatchPosition.objects.filter(topic_id=self._topic_id, partition__in=positions, owner=self._owner)
        moved = [When(partition=partition, then=position) for partition, position in positions.items()]
        if moved and mine.update(position=Case(*moved)) != len(positions):
            raise OwnerChanged(f"one of the partitions {sorted(positions)} has another watcher now")

    def _settle(self, passing: Callable[[str], None] = lambda place: None, *, everything: bool = False) -> None:
        """Let position, checkpoint and offset follow, in this order; `passing` is told each place between them.

        With `everything` the personal windows are kept, too, however lately they were.
        """
        self._settled = time.monotonic()
        moved = {p: w for p, w in self._partitions.items() if w.next > w.settled}
        if any(w.next > w.decided for w in moved.values()):
            self._decide([], datetime.now(UTC))
        with redis_may_fail():
            checkpoints_write(self._topic_id, {p: (w.next, w.layers.ward) for p, w in moved.items()})
            for partition, watched in moved.items():
                due = everything or self._settled - watched.personal_kept >= PERSONAL_S
                if due and watched.next >= watched.personal_from:
                    personal_write(self._topic_id, partition, watched.next, watched.layers.personal)
                    watched.personal_kept = self._settled
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
                latest_write(
                    (s, vital, Latest(v, at, device)) for s, vital, v, at, device in watched.layers.ward.latest()
                )
            self._values_since = since

    # --- partitions come and go ---

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take each partition over: from now on its former owner can decide nothing."""
        now = datetime.now(UTC)
        self._topic_id, self._topic_seen = topic_id(self._bootstrap, ADMITTED), time.monotonic()
        if (terms := self._changed_terms(now)) is not None:
            self._terms = terms
        for partition in partitions:
            decided = self._take_over(partition.partition)
            ward_from, personal_from, layers = self._windows(consumer, partition, decided, now)
            oldest, _ = consumer.get_watermark_offsets(partition, timeout=CALL_S)
            if decided < oldest:
                log.error(
                    "partition %d: offsets %d to %d are past retention and were never scored",
                    partition.partition,
                    decided,
                    oldest,
                )
            partition.offset = max(min(ward_from, personal_from), oldest)
            layers.terms_are(self._terms)
            layers.personal.tags_are(tags_of(partition.partition, now))
            self._partitions[partition.partition] = Watched(
                layers,
                next=partition.offset,
                decided=decided,
                settled=max(ward_from, oldest),
                ward_from=ward_from,
                personal_from=personal_from,
                personal_kept=self._settled,
            )
            log.info("partition %d: from offset %d, decided up to %d", partition.partition, partition.offset, decided)
        self._look_at_episodes()  # after all are taken over: nobody else changes them now
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

    def _windows(
        self, consumer: Consumer, partition: TopicPartition, decided: int, now: datetime
    ) -> tuple[int, int, Layers]:
        """The offsets from which the ward and the personal layer go on, and their windows to start with."""
        kept_ward, kept_personal = None, None
        models = models_of(partition.partition, now)
        with redis_may_fail():
            kept_ward = checkpoint_read(self._topic_id, partition.partition)
            kept_personal = personal_read(self._topic_id, partition.partition, models)
        # None, or one ahead of the database: that was restored from a backup, and must decide again.
        if kept_ward is None or kept_ward[0] > decided:
            kept_ward = self._rebuild_from(consumer, partition, decided, now), Ward()
        if kept_personal is None or kept_personal[0] > decided:
            kept_personal = self._rebuild_from(consumer, partition, decided, now), Personal(models)
        return kept_ward[0], kept_personal[0], Layers(kept_ward[1], kept_personal[1])

    def _rebuild_from(self, consumer: Consumer, partition: TopicPartition, decided: int, now: datetime) -> int:
        milliseconds = int((now - REBUILT_FROM).timestamp() * 1000)
        asked = TopicPartition(partition.topic, partition.partition, milliseconds)
        (found,) = consumer.offsets_for_times([asked], timeout=CALL_S)
        return min(found.offset, decided) if found.offset >= 0 else decided

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle(everything=True)
        self._lost(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._partitions.pop(partition.partition, None)


def _open_episodes() -> dict[int, list[tuple[str, str, int]]]:
    """(subject, cause, level) of every open episode, by partition."""
    episodes: dict[int, list[tuple[str, str, int]]] = {}
    for row in Episode.objects.filter(ended_at__isnull=True).values_list("patient__subject", "cause", "level"):
        episodes.setdefault(partition_of(row[0], settings.ADMITTED_PARTITIONS), []).append(row)
    return episodes


def _alike(messages: list[Message], watched: Watched) -> Iterator[list[Message]]:
    """Messages in their order, cut where one begins to be decided or to be new to a layer."""
    begin = 0
    for edge in sorted({watched.decided, watched.ward_from, watched.personal_from}):
        end = next((i for i, m in enumerate(messages) if m.offset() >= edge), len(messages))
        if end > begin:
            yield messages[begin:end]
            begin = end
    if begin < len(messages):
        yield messages[begin:]


def _readings(messages: list[Message]) -> pa.Table:
    """The readings of these messages in order, without those of messages that are not Arrow."""
    try:
        return from_messages(m.value() or b"" for m in messages)
    except UNREADABLE:
        return from_messages(m.value() for m in messages if _is_readable(m))


def _is_readable(message: Message) -> bool:
    try:
        list(pa.ipc.open_stream(message.value() or b""))
        return True
    except UNREADABLE:
        log.error("%s %d@%d is not Arrow: left out", ADMITTED, message.partition(), message.offset())
        return False
