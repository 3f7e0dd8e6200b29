"""Where packets go: Kafka, standard output, or a file."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from simulator.faults import Sent

TOPIC = "vitals.readings"
STDOUT = "standard output"
ANSWER_S = 3.0  # how long a broker may take to answer before we say that there is none
TOPIC_S = 30.0  # how long the topic may take to be made


class Unreachable(Exception):
    """There is nowhere to send to; the text says what to do."""


class NoBroker(Unreachable):
    """No Kafka answers."""


class Transport(Protocol):
    name: str
    failed: int  # packets that did not arrive, known once the transport has been left

    def send(self, sent: Sent) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """One packet per line, to standard output or a file. `at_once`: a reader need not wait until a buffer is full."""

    failed = 0

    def __init__(self, path: Path | None, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self.name = str(path) if path else STDOUT
        self._out: IO[bytes] = path.open("wb") if path else sys.stdout.buffer

    def send(self, sent: Sent) -> None:
        self._out.write(sent.value + b"\n")
        if self._at_once:
            self._out.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()
        if self._out is not sys.stdout.buffer:
            self._out.close()


class Kafka:
    """`vitals.readings`, keyed by device. `account` is the signed-in account that syncs what is sent, if one does.

    Waits for the broker and the topic until `stopping` has something. Raises Unreachable, NoBroker if none answers.
    """

    def __init__(self, bootstrap: str, account: str | None = None, stopping: Sequence[int] = ()) -> None:
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient

        self.name = f"Kafka at {bootstrap}, topic {TOPIC}"
        self.failed = 0
        self._headers = [("account", account.encode())] if account else None
        quiet = {"bootstrap.servers": bootstrap, "log_level": 0, "logger": lambda *_: None}
        _wait_for_topic(AdminClient(quiet), bootstrap, stopping)
        # Not idempotent: a packet that a retry sends twice is one reading, by its natural key.
        self._producer = Producer(
            {
                **quiet,
                "linger.ms": 5,
                "acks": "all",
                "message.timeout.ms": int(TOPIC_S * 1000),  # then a packet counts as lost, and we say so
                "queue.buffering.max.messages": 200_000,
            }
        )

    def send(self, sent: Sent) -> None:
        while True:
            try:
                self._producer.produce(
                    TOPIC, sent.value, key=sent.device_id, headers=self._headers, on_delivery=self._delivered
                )
                break
            except BufferError:  # the queue is full: the broker is slower than we are
                self._producer.poll(0.05)
        self._producer.poll(0)

    def _delivered(self, error: object, message: object) -> None:
        if error is None:
            return
        if not self.failed:
            print(f"A packet did not arrive: {error}. The others are counted and told at the end.", file=sys.stderr)
        self.failed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.failed += self._producer.flush(TOPIC_S + 5)


def _wait_for_topic(admin: Any, bootstrap: str, stopping: Sequence[int]) -> None:
    from confluent_kafka import KafkaException

    until, answered = time.monotonic() + ANSWER_S, False
    while not stopping and (left := until - time.monotonic()) > 0:
        try:
            topics = admin.list_topics(timeout=min(left, ANSWER_S)).topics
        except KafkaException:
            continue
        if TOPIC in topics:
            return
        if not answered:
            print(f"Waiting for the topic {TOPIC}, which the door makes.", file=sys.stderr)
            answered, until = True, time.monotonic() + TOPIC_S
        time.sleep(0.2)
    if stopping:
        return
    if answered:
        raise Unreachable(
            f"Kafka at {bootstrap} has no topic {TOPIC}: start the door (manage.py run_door), it makes it."
        )
    raise NoBroker(
        f"No Kafka answers at {bootstrap}. Start one (make demo), name one with KAFKA_BOOTSTRAP_SERVERS, or choose "
        "--transport stdout or --transport file."
    )
