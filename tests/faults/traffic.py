"""Packets at a steady rate, and a note of each one that the broker took."""

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from confluent_kafka import KafkaException, Message, Producer

from ingestion.kafka import READINGS
from ingestion.reading import Refusal
from tests.faults.pipeline import PEOPLE

TICK_S = 0.01
UNKNOWN_EVERY = 50  # one packet in so many is of a device that nobody knows
LATE_EVERY = 20  # one in so many was measured on an earlier day: a phone that synced
LAKE = "lake"
Place = tuple[int, int]  # partition and offset in `vitals.readings`


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet to send, and what it deserves: LAKE, where it has this record id, or the reason of its refusal."""

    key: bytes | None
    value: bytes | None
    deserves: str
    record_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What the broker took."""

    deserves: str
    record_id: str | None
    sha256: str


def ward(prefix: str = "p") -> Iterator[Packet]:
    """For ever packets of people who have consented; now and then of an earlier day, or of an unknown device."""
    for number in count():
        known = number % UNKNOWN_EVERY > 0
        device = f"device_{1 + number % (PEOPLE - 1)}" if known else "device_nobody_knows"
        days = 1 + number // LATE_EVERY % 10 if number % LATE_EVERY == 0 else 0
        yield reading(
            device,
            LAKE if known else Refusal.UNKNOWN_DEVICE,
            f"{prefix}{number:07d}",
            days_ago=days,
            heart_rate=60 + number % 40,
            spo2=97,
        )


def reading(device: str, deserves: str, record_id: str, *, days_ago: float = 0, **fields: object) -> Packet:
    """A well-formed packet of now or so many days ago; `fields` may spoil it."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    content = {"device_id": device, "timestamp": at.isoformat(), "record_id": record_id, **fields}
    return Packet(device.encode(), json.dumps(content).encode(), deserves, record_id)


class Traffic:
    """Sends packets at `rate` per second from a thread of its own until it is stopped or there are no more."""

    def __init__(self, bootstrap: str, packets: Iterable[Packet], rate: float) -> None:
        self._packets, self._rate = packets, rate
        self._stop, self._failed = threading.Event(), []
        self.sent: dict[Place, Sent] = {}
        self.seconds = 0.0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,  # a retry of ours must not look like a fault of theirs
                "linger.ms": 5,
                "message.max.bytes": 4_000_000,
                "queue.buffering.max.kbytes": 512 * 1024,
            }
        )
        self._thread = threading.Thread(target=self._send, daemon=True)

    def start(self) -> "Traffic":
        self._thread.start()
        return self

    def finish(self) -> None:
        """Wait until there are no more packets and the broker has them all. Raises if it did not take one."""
        self._thread.join()
        if self._producer.flush(60) or self._failed:
            raise KafkaException(f"{len(self._producer)} packets were not taken, failed: {self._failed[:3]}")

    def stop(self) -> None:
        self._stop.set()
        self.finish()

    def _send(self) -> None:
        began = time.monotonic()
        for number, each in enumerate(self._packets):
            while number > (time.monotonic() - began) * self._rate:
                self._producer.poll(TICK_S)
            if self._stop.is_set():
                break
            while True:
                try:
                    self._producer.produce(READINGS, each.value, key=each.key, on_delivery=self._note(each))
                    break
                except BufferError:
                    self._producer.poll(TICK_S)
        self.seconds = time.monotonic() - began

    def _note(self, each: Packet):
        def delivered(error: object, message: Message) -> None:
            if error is not None:
                self._failed.append(error)
                return
            digest = hashlib.sha256(each.value or b"").hexdigest()
            self.sent[message.partition(), message.offset()] = Sent(each.deserves, each.record_id, digest)

        return delivered
