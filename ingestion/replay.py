"""Refused packets go back to `vitals.readings`, once an operator has mended the cause.

Packets, their first coordinates as a header, and the position of a consumer group of its own are one Kafka transaction:
killed at any point, a packet has been sent once or will be, never twice. A second run at the same time, or one that was
stopped and woken, is fenced off by the broker through the transactional id. A packet that is refused again comes to the
end of `vitals.refused` with its first coordinates, and the next run may send it again.

The broker forgets the position of an idle group after seven days, and may keep packets for longer than that. So that
no packet is sent twice because a position was forgotten, those refused more than seven days ago are not sent.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from ingestion.deadline import deadline
from ingestion.kafka import READINGS, REFUSED, RETENTION_MS, committed, consumer_config
from ingestion.origin import HEADER
from ingestion.reading import Refusal
from ingestion.refused import Refused, parse
from ingestion.walk import bounds, to_ends

AT_ONCE = 500  # packets at most in one transaction
CALL_S = 30.0
KEPT = timedelta(milliseconds=RETENTION_MS)
REASONS = tuple(reason.value for reason in Refusal if reason is not Refusal.NO_CONSENT)

Passing = Callable[[str], None]  # told each place between two steps, for the fault tests


@dataclass(slots=True)
class Replayed:
    """What one run did: packets sent, and those it could not send by why ("withheld", "truncated", …)."""

    sent: int = 0
    left: Counter[str] = field(default_factory=Counter)


def replay(
    bootstrap: str, reason: str, *, transactions: bool, now: datetime, passing: Passing = lambda place: None
) -> Replayed:
    """Send what was refused for `reason` since the last run, up to the present end of `vitals.refused`.

    Raises ValueError for a reason of which nothing is kept, and KafkaException if the broker fails or another run of
    the same reason has taken over; what was committed until then stays, and the next run goes on from there. Without
    `transactions` (embedded broker) a run that is killed may have sent its last batch, and sends it again.
    """
    if reason not in REASONS:
        raise ValueError(f"Nothing can be replayed for {reason!r}. Choose one of: {', '.join(REASONS)}.")
    group = f"replay-{reason}"
    config: dict[str, object] = {"bootstrap.servers": bootstrap}
    if transactions:
        config |= {"transactional.id": group, "transaction.timeout.ms": 10_000}
    producer = Producer(config)
    if transactions:
        with deadline(2 * CALL_S):
            producer.init_transactions(CALL_S)  # before the position is asked for: it ends what a former run left open
    passing("after_fence")
    consumer = Consumer(consumer_config(bootstrap, group))
    try:
        return _Run(consumer, producer, reason, transactions, now, passing).to_the_end()
    finally:
        consumer.close()


class _Run:
    def __init__(
        self,
        consumer: Consumer,
        producer: Producer,
        reason: str,
        transactions: bool,
        now: datetime,
        passing: Passing,
    ) -> None:
        self._consumer, self._producer = consumer, producer
        self._reason, self._transactions = reason, transactions
        self._oldest, self._passing = now - KEPT, passing
        self._done = Replayed()

    def to_the_end(self) -> Replayed:
        span = bounds(self._consumer, REFUSED)
        for batch in to_ends(self._consumer, REFUSED, span, self._start(span), AT_ONCE):
            with deadline(2 * CALL_S):
                self._send(batch)
        return self._done

    def _start(self, span: dict[int, tuple[int, int]]) -> dict[int, int]:
        """Where to go on in each partition; -1001 (librdkafka's "none yet") lies before the oldest."""
        return committed(self._consumer, [TopicPartition(REFUSED, p) for p in span])

    def _send(self, messages: list[Message]) -> None:
        """One batch: packets and position together."""
        if self._transactions:
            self._producer.begin_transaction()
        sent, left = 0, Counter[str]()
        for packet in map(parse, messages):
            if packet.reason != self._reason:
                continue
            why = "older than seven days" if packet.refused_at <= self._oldest else packet.obstacle()
            if why is not None:
                left[why] += 1
                continue
            self._producer.produce(
                READINGS, packet.payload, key=packet.key, headers=_headers(packet), on_delivery=_must_arrive
            )
            sent += 1
        self._passing("after_produce")
        if self._producer.flush(CALL_S):
            raise TimeoutError("the broker did not take a batch in time")
        self._passing("after_flush")
        ends: dict[int, int] = {}
        for message in messages:
            ends[message.partition()] = message.offset() + 1
        offsets = [TopicPartition(REFUSED, p, end) for p, end in ends.items()]
        if self._transactions:
            group = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction(offsets, group, CALL_S)
            self._passing("after_offsets")
            self._producer.commit_transaction(CALL_S)
        else:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        self._passing("after_commit")
        self._done.sent += sent
        self._done.left += left


def _headers(packet: Refused) -> list[tuple[str, bytes]]:
    headers = [(HEADER, packet.first.to_header())]
    return headers if packet.account is None else [("account", packet.account.encode()), *headers]


def _must_arrive(error: object, message: Message) -> None:
    if error is not None:
        raise KafkaException(error)
