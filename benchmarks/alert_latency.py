"""From a packet that confirms a deterioration, as it is sent, to the message in an open browser socket.

The whole stack runs (Kafka, Redis, PostgreSQL, web server, door, watcher, Celery) under 500 readings a second of other
people. One person after another gets worse: a first reading out of range, then the one that confirms it, which starts
the clock. A clinician's socket, signed in and opened as a page opens it, stops it.

python benchmarks/alert_latency.py           400 alerts
python benchmarks/alert_latency.py --quick   80, in less than 50 s
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import websockets
from confluent_kafka import Producer
from stack import broker, database, folder, people, said, settings

from ingestion.kafka import READINGS
from portal.embedded.__main__ import portal_parts
from portal.embedded.servers import free_port
from portal.embedded.supervisor import Supervisor
from tests.servers.redis import redis

PER_S = 500  # readings of other people
OTHERS = 300  # how many they are: person 1 to 300
OTHER_TEAM = 10  # the last of the invented people, whom our clinician does not see
BETWEEN_S = (0.1, 0.3)  # from one person's confirming packet to the next person's
CONFIRMED_AFTER_S = 1.0  # on the clock of the wall; on that of the device it is EARLIER
EARLIER = timedelta(seconds=40)
WITHIN_S = 30.0


@dataclass(slots=True)
class Clock:
    """By person, when the confirming packet was sent and when the socket said so; seconds of time.monotonic()."""

    sent: dict[int, float] = field(default_factory=dict)
    heard: dict[int, float] = field(default_factory=dict)

    def latencies(self) -> list[float]:
        return [self.heard[person] - at for person, at in self.sent.items() if person in self.heard]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="in less than 50 s")
    parser.add_argument("--alerts", type=int, help="how many, instead of 400 (80 with --quick)")
    options = parser.parse_args()
    alerts = options.alerts or (80 if options.quick else 400)
    with contextlib.ExitStack() as stack:
        made = folder(stack)
        settings(made, REDIS_URL=f"{redis(made, stack)}/0", DATABASE_URL=database(made, stack))
        os.environ["KAFKA_BOOTSTRAP_SERVERS"], name = broker(made, stack)
        said(f"{name} and Redis are up")
        people(OTHERS + 1 + alerts + OTHER_TEAM)
        said("the database and its people are made")
        port = free_port()
        supervisor = Supervisor(made / "logs", os.environ)
        stack.callback(supervisor.stop)
        supervisor.start(*portal_parts(made, port))
        said("the portal answers")
        sick = range(OTHERS + 1, OTHERS + 1 + alerts + 1)
        clock, per_s = asyncio.run(measured(port, cookie(), patients(sick)))
    latencies = sorted(clock.latencies())
    found = {
        "p50_s": round(statistics.median(latencies), 3),
        "p99_s": round(statistics.quantiles(latencies, n=100, method="inclusive")[98], 3),
        "max_s": round(latencies[-1], 3),
        "alerts": len(latencies),
        "missing": len(clock.sent) - len(latencies),
        "readings_per_s": round(per_s),
        "broker": name,
    }
    print(json.dumps(found))
    if found["missing"]:
        raise SystemExit(1)


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


async def measured(port: int, session: str, sick: dict[int, str]) -> tuple[Clock, float]:
    """Let everybody in `sick` get worse, the first one to see that all is running; clock and background load."""
    producer = Producer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], "linger.ms": 5, "acks": "all"})
    clock, background = Clock(), Background(producer)
    host = f"127.0.0.1:{port}"
    headers = {"Cookie": session, "Origin": f"http://{host}"}
    async with websockets.connect(f"ws://{host}/ws/live/", additional_headers=headers) as socket:
        listening = asyncio.create_task(_listen(socket, clock))
        sending = asyncio.create_task(background.run())
        first, *others = sick
        await _worsen(producer, first, sick[first], clock)
        if not await _until(lambda: first in clock.heard, 2 * WITHIN_S):
            raise SystemExit(f"The first alert did not come within {2 * WITHIN_S:.0f} s.")
        said("the first alert has come; measuring")
        clock.sent.clear()
        background.restart()
        worsening = []
        for person in others:
            worsening.append(asyncio.create_task(_worsen(producer, person, sick[person], clock)))
            await asyncio.sleep(random.uniform(*BETWEEN_S))
        await asyncio.gather(*worsening)
        per_s = background.per_s()
        await _until(lambda: clock.heard.keys() >= clock.sent.keys(), WITHIN_S)
        if listening.done():
            raise SystemExit("The socket was closed before the end.")
        for task in (listening, sending):
            task.cancel()
        producer.flush(WITHIN_S)
    return clock, per_s


async def _listen(socket: websockets.ClientConnection, clock: Clock) -> None:
    async for message in socket:
        now = time.monotonic()
        for change in json.loads(message)["changes"]:
            if change["kind"] == "alert" and change["what"] == "opened":
                clock.heard.setdefault(change["patient"], now)


async def _worsen(producer: Producer, person: int, device: str, clock: Clock) -> None:
    """Two readings short of oxygen; the second one starts the clock."""
    now = datetime.now(UTC)
    _send(producer, device, now - EARLIER, heart_rate=96, spo2=86, respiratory_rate=23)
    await asyncio.sleep(CONFIRMED_AFTER_S)
    clock.sent[person] = time.monotonic()
    _send(producer, device, datetime.now(UTC), heart_rate=98, spo2=85, respiratory_rate=23)


async def _until(true: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return true()


class Background:
    """PER_S readings a second of OTHERS, who are well."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self.restart()

    def restart(self) -> None:
        self._begin, self._sent = time.monotonic(), 0

    def per_s(self) -> float:
        return self._sent / (time.monotonic() - self._begin)

    async def run(self) -> None:
        while True:
            due = int((time.monotonic() - self._begin) * PER_S)
            while self._sent < due:
                device = f"device_{self._sent % OTHERS + 1}"
                _send(self._producer, device, datetime.now(UTC), heart_rate=72, spo2=97, respiratory_rate=15)
                self._sent += 1
            await asyncio.sleep(0.01)


def _send(producer: Producer, device: str, at: datetime, **vitals: float) -> None:
    packet = {"device_id": device, "timestamp": at.isoformat(), **vitals}
    producer.produce(READINGS, json.dumps(packet).encode(), device.encode())
    producer.poll(0)


if __name__ == "__main__":
    main()
