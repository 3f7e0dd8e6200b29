"""A recorded series, synced by each person's account, from Kafka to the chart: is every value there exactly once?

python -m tests.journeys.recorded_series FILE              every person of a CSV or Parquet file
python -m tests.journeys.recorded_series FILE --person X   one of them

Starts real servers (Apache Kafka, PostgreSQL, Redis) unless TEST_… names them, the door, the archiver's worker and
beat, and the web server; replays the file; compares count and hash in the lake with the file; asks the portal for the
charts. Prints figures, as its last line a JSON object, and ends with 1 if anything differs.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Consumer, TopicPartition

from ingestion.kafka import REFUSED, consumer_config
from ingestion.lake import open_readings
from simulator.replay import Series, Unreadable, fingerprint, read
from tests.servers.forked import fork
from tests.servers.missing import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("TEST_KAFKA_BOOTSTRAP_SERVERS", "TEST_DATABASE_URL", "TEST_REDIS_URL")
MOVED_WITHIN_S = 180


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CSV or Parquet: time, person, any vitals")
    parser.add_argument("--person", help="this person of the series only")
    asked = parser.parse_args(argv)
    try:
        persons = persons_of(asked.file, asked.person)
    except Unreadable as problem:
        print(problem, file=sys.stderr)
        return 2
    if not all(os.environ.get(name) for name in SERVERS):
        return _again_with_servers(sys.argv[1:] if argv is None else argv)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellrange-series-")))
        return _journey(asked.file, persons, folder, stack)


def persons_of(file: Path, person: str | None) -> dict[str, Series]:
    """The series of each person of the file. Raises Unreadable."""
    whole = read(file, person=person)
    return {name: read(file, person=name) for name in pc.unique(whole.table["person"]).to_pylist()}


def _again_with_servers(argv: list[str]) -> int:
    if all(os.environ.get(name) == "" for name in SERVERS):
        return 2  # they could not be started, and what is missing has been said
    module = [sys.executable, "-m"]
    command = [*module, "tests.servers", "--", *module, "tests.journeys.recorded_series", *argv]
    return subprocess.run(command, cwd=ROOT, env={**dict.fromkeys(SERVERS, ""), **os.environ}, check=False).returncode


# --- the parts of the journey, shared with the test ---


def admit(persons: list[str]) -> tuple[Any, dict[str, Any]]:
    """Bob, and a patient of his team with an account and consent to care for each person of the series."""
    from django.utils import timezone

    from portal.accounts.models import Role, User
    from portal.consent.models import Purpose
    from portal.consent.services import consent_record
    from portal.people.models import CareTeam, Organisation, Patient

    organisation = Organisation.objects.create(name="Riverside Home Care")
    team = CareTeam.objects.create(organisation=organisation, name="Riverside Team")
    bob = User.objects.create_user("bob", "bob@test.example", role=Role.CLINICIAN, organisation=organisation)
    team.members.add(bob)
    patients = {}
    for person in persons:
        name = f"person-{person}"
        user = User.objects.create_user(name, f"{name}@test.example", role=Role.PATIENT, organisation=organisation)
        patients[person] = Patient.objects.create(
            organisation=organisation, care_team=team, user=user, name=name, birth_date=date(1950, 5, 17)
        )
        consent_record(patient=patients[person], purpose=Purpose.CARE, given=True, by=user, now=timezone.now())
    return bob, patients


def in_the_lake(lake: str, subject: str) -> pa.Table:
    """Every row of this person, doubles and all: nothing is made unique on the way."""
    return open_readings(lake).to_pyarrow_dataset().to_table(filter=pc.field("subject") == subject)


def days(series: Series, zone: ZoneInfo) -> dict[str, str]:
    """The period of the series as a chart is asked for it: whole days of the reader's own zone."""
    first, last = (
        datetime.fromtimestamp(pc.min_max(series.table["time"])[end].as_py() / 1e6, zone) for end in ("min", "max")
    )
    return {"from": first.date().isoformat(), "to": last.date().isoformat()}


def compare(series: Series, rows: pa.Table) -> str | None:
    """What differs between the file and the lake, or None."""
    wanted, found = fingerprint(series.table), fingerprint(rows)
    return None if wanted == found else f"the file has {wanted}, the lake {found}"


Get = Callable[[str], tuple[int, str]]  # a signed-in clinician's GET: address -> status and text


def charted(get: Get, patient: Any, series: Series, zone: ZoneInfo) -> str | None:
    """What is wrong with the page or with the charts of this person's vitals, or None."""
    period = days(series, zone)
    address = f"/patients/{patient.pk}/"
    status, page = get(f"{address}?{urlencode({**period, 'vital': series.vitals}, doseq=True)}")
    if status != 200:
        return f"the page answers {status}"
    asked = re.search(r'data-charts="([^"]+)"', page)
    if asked is None:
        return "the page has no charts"
    status, text = get(asked[1].replace("&amp;", "&"))
    if status != 200:
        return f"the charts answer {status}: {text[:100]}"
    drawn = json.loads(text)["charts"]
    for vital in series.vitals:
        count = len(series.table) - series.table[vital].null_count
        if vital not in drawn or drawn[vital]["count"] != count:
            return f"the chart of {vital} does not have {count} readings"
        mean = next(trace for trace in drawn[vital]["figure"]["data"] if trace["name"] == "mean")
        if not any(y is not None for y in mean["y"]):
            return f"the chart of {vital} draws nothing"
    return None


# --- the whole of it, with real processes ---


def _journey(file: Path, persons: dict[str, Series], folder: Path, stack: contextlib.ExitStack) -> int:
    env = _environment(folder, stack)
    os.environ |= env
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    bob, patients = admit(list(persons))
    get = _start(folder, stack, bob)
    seconds = _replay(file, patients, env["KAFKA_BOOTSTRAP_SERVERS"])
    begun = time.monotonic()
    wait_until(_everything_moved, "the door and the archiver", MOVED_WITHIN_S)
    print(f"replayed in {seconds:.1f} s; all of it archived {time.monotonic() - begun:.1f} s later")

    wrong, values = 0, 0
    for person, series in persons.items():
        rows = in_the_lake(env["LAKE_URL"], patients[person].subject)
        zone = ZoneInfo(bob.time_zone)
        problems = [p for p in (compare(series, rows), charted(get, patients[person], series, zone)) if p]
        count, mark = fingerprint(rows)
        values, wrong = values + count, wrong + len(problems)
        print(f"person {person}: {count} values of {', '.join(series.vitals)}, hash {mark}, {days(series, zone)}")
        print("  " + ("; ".join(problems) or "count and hash equal to the file; the patient's page charts them all"))
    refused = _count(REFUSED)
    wrong += refused
    figures = {"persons": len(persons), "values": values, "refused": refused, "replay_s": round(seconds, 1)}
    print(json.dumps({**figures, "exactly_once": not wrong}))
    return 1 if wrong else 0


def _environment(folder: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "SECRET_KEY": "a-key-for-this-journey-and-for-nothing-else-0123456789",
        "HTTPS": "false",
        "VAR_DIR": str(folder),
        "DATABASE_URL": stack.enter_context(_database(os.environ["TEST_DATABASE_URL"])),
        "REDIS_URL": os.environ["TEST_REDIS_URL"] + "/15",
        "KAFKA_BOOTSTRAP_SERVERS": os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"],
        "LAKE_URL": str(folder / "lake"),
    }


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    """A database of its own on this server; its URL."""
    import psycopg

    name = f"series_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _start(folder: Path, stack: contextlib.ExitStack, bob: Any) -> Get:
    """The door, the archiver's worker and beat, and the web server; gives Bob's GET."""
    port = free_port()
    celery = ["-m", "celery", "-A", "portal"]
    commands = {
        "door": ["manage.py", "run_door"],
        "lake": [*celery, "worker", "-n", "lake@%h", "-Q", "lake", "-P", "solo", "-l", "WARNING"],
        "beat": [*celery, "beat", "-l", "WARNING", "--pidfile=", "-s", str(folder / "beat")],
        "web": ["-m", "uvicorn", "portal.asgi:application", "--port", str(port), "--lifespan", "off"],
    }
    for name, command in commands.items():
        fork(stack, command, folder / f"{name}.log", env=os.environ)
    get = _signed_in(port, bob)
    wait_until(lambda: get("/readyz")[0] == 200, "the web server")
    return get


def _signed_in(port: int, user: Any) -> Get:
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"

    def get(address: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", address, headers={"Cookie": cookie})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, "no answer"
        finally:
            connection.close()

    return get


def _replay(file: Path, patients: dict[str, Any], bootstrap: str) -> float:
    begun = time.monotonic()
    for person, patient in patients.items():
        command = [sys.executable, "simulator/iot_simulator.py", "--replay", str(file.resolve()), "--person", person]
        command += ["--account", patient.user.account_id, "--speed", "max"]
        env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap}
        subprocess.run(command, cwd=ROOT, env=env, check=True)
    return time.monotonic() - begun


def _everything_moved() -> bool:
    """The door has committed every packet, and the table's positions are the ends of `vitals.admitted`."""
    from django.conf import settings

    from tests.faults.surroundings import all_archived, all_decided

    bootstrap = settings.KAFKA_BOOTSTRAP_SERVERS
    return all_decided(bootstrap) and all_archived(bootstrap, settings.LAKE_URL)


def _count(topic: str) -> int:
    """How many messages the topic holds."""
    from django.conf import settings

    consumer = Consumer(consumer_config(settings.KAFKA_BOOTSTRAP_SERVERS, "count"))
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        count, unread = 0, set(partitions)
        while unread:
            for message in consumer.consume(1000, 1):
                if message.error():
                    unread.discard(message.partition())
                else:
                    count += 1
        return count
    finally:
        consumer.close()


if __name__ == "__main__":
    sys.exit(main())
