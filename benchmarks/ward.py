"""A running portal under readings of people who are well, people who get worse, and a clinician's open page."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import websockets
from confluent_kafka import Producer
from stack import broker, database, folder, people, said, settings

from ingestion.kafka import READINGS
from portal.embedded.__main__ import portal_parts
from portal.embedded.supervisor import Supervisor
from tests.servers.missing import free_port
from tests.servers.redis import redis

PER_S = 500  # readings of people who are well
OTHER_TEAM = 10  # the last of the invented people, whom our clinician does not see
CONFIRMED_AFTER_S = 1.0  # on the clock of the wall; on that of the device it is EARLIER
EARLIER = timedelta(seconds=40)


@dataclass(slots=True)
class Clock:
    """By person, when the confirming packet was sent and when the socket said so; seconds of time.monotonic()."""

    sent: dict[int, float] = field(default_factory=dict)
    heard: dict[int, float] = field(default_factory=dict)

    def latencies(self) -> list[float]:
        return sorted(self.heard[person] - at for person, at in self.sent.items() if person in self.heard)


@contextlib.contextmanager
def portal(count: int) -> Iterator[tuple[int, str]]:
    """The whole stack with so many people whom our clinician sees: the portal's port, and the broker's name."""
    with contextlib.ExitStack() as stack:
        made = folder(stack)
        settings(made, REDIS_URL=f"{redis(made, stack)}/0", DATABASE_URL=database(made, stack))
        os.environ["KAFKA_BOOTSTRAP_SERVERS"], name = broker(made, stack)
        said(f"{name} and Redis are up")
        people(count + OTHER_TEAM)
        said("the database and its people are made")
        port = free_port()
        supervisor = Supervisor(made / "logs", os.environ)
        stack.callback(supervisor.stop)
        supervisor.start(*portal_parts(made, port))
        said("the portal answers")
        yield port, name


def cookie() -> str:
    """Bob's session, as signing in makes it."""
    from django.conf import settings
    from django.test import Client

    from portal.accounts.models import User

    client = Client()
    client.force_login(User.objects.get(username="bob"))
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def patients(numbers: range) -> dict[int, str]:
    """The patients whom device number N belongs to: primary key -> device id."""
    from portal.devices.models import Assignment

    devices = [f"device_{n}" for n in numbers]
    return dict(Assignment.objects.filter(device__device_id__in=devices).values_list("patient_id", "device__device_id"))


def producer() -> Producer:
    return Producer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], "linger.ms": 5, "acks": "all"})


def page(port: int, session: str) -> websockets.connect:
    """The socket of an open page."""
    host = f"127.0.0.1:{port}"
    return websockets.connect(
        f"ws://{host}/ws/live/", additional_headers={"Cookie": session, "Origin": f"http://{host}"}
    )


async def listen(socket: websockets.ClientConnection, clock: Clock) -> None:
    async for message in socket:
        now = time.monotonic()
        for change in json.loads(message)["changes"]:
            if change["kind"] == "alert" and change["what"] == "opened":
                clock.heard.setdefault(change["patient"], now)


async def worsen(producer: Producer, person: int, device: str, clock: Clock) -> None:
    """Two readings short of oxygen; the second one starts the clock."""
    now = datetime.now(UTC)
    send(producer, device, now - EARLIER, heart_rate=96, spo2=86, respiratory_rate=23)
    await asyncio.sleep(CONFIRMED_AFTER_S)
    clock.sent[person] = time.monotonic()
    send(producer, device, datetime.now(UTC), heart_rate=98, spo2=85, respiratory_rate=23)


async def until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        await asyncio.sleep(0.05)
    return true()


class Background:
    """PER_S readings a second of the first `others` people, who are well."""

    def __init__(self, producer: Producer, others: int) -> None:
        self._producer, self._others = producer, others
        self.restart()

    def restart(self) -> None:
        self._begin, self._sent = time.monotonic(), 0

    def per_s(self) -> float:
        return self._sent / (time.monotonic() - self._begin)

    async def run(self) -> None:
        while True:
            due = int((time.monotonic() - self._begin) * PER_S)
            while self._sent < due:
                device = f"device_{self._sent % self._others + 1}"
                send(self._producer, device, datetime.now(UTC), heart_rate=72, spo2=97, respiratory_rate=15)
                self._sent += 1
            await asyncio.sleep(0.01)


def send(producer: Producer, device: str, at: datetime, **vitals: float) -> None:
    packet = {"device_id": device, "timestamp": at.isoformat(), **vitals}
    producer.produce(READINGS, json.dumps(packet).encode(), device.encode())
    producer.poll(0)
