"""Where packets go: Kafka, standard output, or a file."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from simulator.faults import Sent

TOPIC = "vitals.readings"
ANSWER_S = 3.0  # how long a broker may take to answer before we say that there is none
TOPIC_S = 30.0  # how long the topic may take to be made


class Unreachable(Exception):
    """There is nowhere to send to; the text says what to do."""


class Transport(Protocol):
    name: str

    def send(self, sent: Sent) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """One packet per line, to standard output or a file."""

    def __init__(self, path: Path | None) -> None:
        self.name = str(path) if path else "standard output"
        self._out: IO[bytes] = path.open("wb") if path else sys.stdout.buffer

    def send(self, sent: Sent) -> None:
        self._out.write(sent.value + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()
        if self._out is not sys.stdout.buffer:
            self._out.close()


class Kafka:
    """`vitals.readings`, keyed by device. `account_of` names the signed-in account that syncs a device's history."""

    def __init__(self, bootstrap: str, account_of: Callable[[str], str | None] = lambda device: None) -> None:
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient

        self.name = f"Kafka at {bootstrap}, topic {TOPIC}"
        self.failed = 0
        self._account_of = account_of
        quiet = {"bootstrap.servers": bootstrap, "log_level": 0, "logger": _silence}
        _wait_for_topic(AdminClient(quiet), bootstrap)
        self._producer = Producer(
            {
                **quiet,
                "linger.ms": 5,
                "enable.idempotence": False,
                "acks": "all",
                "queue.buffering.max.messages": 200_000,
            }
        )

    def send(self, sent: Sent) -> None:
        account = self._account_of(sent.device_id)
        headers = [("account", account.encode())] if account else None
        while True:
            try:
                self._producer.produce(
                    TOPIC, sent.value, key=sent.device_id, headers=headers, on_delivery=self._delivered
                )
                break
            except BufferError:  # the queue is full: the broker is slower than we are
                self._producer.poll(0.05)
        self._producer.poll(0)

    def _delivered(self, error: object, message: object) -> None:
        self.failed += error is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.failed += self._producer.flush(30)


def _silence(*_: object) -> None:
    pass


def _wait_for_topic(admin: object, bootstrap: str) -> None:
    from confluent_kafka import KafkaException

    until, answered = time.monotonic() + ANSWER_S, False
    while time.monotonic() < until:
        try:
            topics = admin.list_topics(timeout=1).topics  # type: ignore[attr-defined]
        except KafkaException:
            continue
        if TOPIC in topics:
            return
        if not answered:
            answered, until = True, time.monotonic() + TOPIC_S
        time.sleep(0.2)
    if answered:
        raise Unreachable(
            f"Kafka at {bootstrap} has no topic {TOPIC}: start the door (manage.py run_door), it makes it."
        )
    raise Unreachable(
        f"No Kafka answers at {bootstrap}. Start one (make demo), name one with KAFKA_BOOTSTRAP_SERVERS, or choose "
        "--transport stdout or --transport file."
    )
