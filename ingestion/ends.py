"""How far a reader is known to have come, as a moment of wall time rather than an offset."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from confluent_kafka import Consumer, KafkaException, TopicPartition

ASK_EVERY = timedelta(seconds=5)
CALL_S = 2.0


class Ends:
    """Asks the broker for the end of each partition now and then; once the reader has passed that end, everything that
    had arrived when it was asked has been read. Never event time: a partition whose only person fell silent has none.
    """

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic
        self._asked_at: datetime | None = None
        self._ends: dict[int, tuple[datetime, int]] = {}

    def passed(self, reached: Mapping[int, int], now: datetime) -> dict[int, datetime]:
        """`reached` is the next offset by partition; for those that have come far enough, the moment it is true of.

        A broker that does not answer is not taken for an empty one: nothing is passed then.
        """
        if self._asked_at is None or now - self._asked_at >= ASK_EVERY:
            self._asked_at = now
            self._ask(reached, now)
        done = {p: at for p, (at, end) in self._ends.items() if p in reached and reached[p] >= end}
        for partition in done:
            del self._ends[partition]
        return done

    def _ask(self, reached: Mapping[int, int], now: datetime) -> None:
        self._ends = {p: pending for p, pending in self._ends.items() if p in reached}
        for partition in reached:
            if partition not in self._ends:
                try:
                    _, end = self._consumer.get_watermark_offsets(
                        TopicPartition(self._topic, partition), timeout=CALL_S
                    )
                except KafkaException:
                    return
                self._ends[partition] = (now, end)
