"""The pipeline as it runs for real: doors and Celery workers, each a process that can be killed."""

import contextlib
import os
import re
import signal
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from django.conf import settings
from django.utils import timezone

from ingestion.kafka import READINGS, topic_id
from portal.accounts.models import User
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.devices.models import Device
from portal.devices.services import device_add
from portal.embedded.seed import seed
from portal.people.models import Organisation, Patient
from portal.pipeline.latest import connection as redis_connection
from portal.pipeline.tasks import archive_share, tidy_lake
from tests.faults.surroundings import all_archived, all_decided, environment, topics_make_anew, wait_for
from tests.servers.forked import Forked, fork

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 20  # the last of them has withdrawn consent
WITHDRAWN = f"device_{PEOPLE}"
UNASSIGNED = "device_in_the_cupboard"
ARCHIVE_EVERY_S = 0.5
TIDY_EVERY = round(settings.TIDY_EVERY_S / settings.ARCHIVE_EVERY_S)  # archive tasks, as in production
LAST_WORDS = 15  # lines
OVERTAKEN = "another task archived share 0"  # what a task says that the table refused


def people_make() -> None:
    """The demo's people in an empty database, each with five devices; one has withdrawn, one device is nobody's."""
    now = timezone.now()
    seed(now - timedelta(days=1), PEOPLE)
    withdrawn = Patient.objects.get(assignments__device__device_id=WITHDRAWN)
    admin = User.objects.get(username="admin")
    consent_record(patient=withdrawn, purpose=Purpose.CARE, given=False, by=admin, now=now)
    spare = Device(organisation=Organisation.objects.get(), device_id=UNASSIGNED, kind=Device.Kind.WATCH)
    device_add(device=spare, now=now)


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the pipeline and what it says."""

    process: Forked
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Pipeline:
    """Enter it and a door and a worker for the lake run, on empty topics and an empty lake.

    An archive task is due every ARCHIVE_EVERY_S, as from Celery's beat, and a door that has ended is started again, as
    by any supervisor. With `tidied` the current day is tidied too, after as many archive tasks as in production.
    """

    def __init__(self, folder: Path, *, tidied: bool = False) -> None:
        self.folder, self.lake = folder, folder / "lake"
        self._tidied = tidied
        self.bootstrap = settings.KAFKA_BOOTSTRAP_SERVERS
        self.doors: dict[str, Part] = {}
        self._parts: list[Part] = []
        self._stack = contextlib.ExitStack()
        self._over = threading.Event()

    def __enter__(self) -> "Pipeline":
        topics_make_anew(self.bootstrap)
        redis_connection().flushdb()
        self.readings_id = topic_id(self.bootstrap, READINGS)
        self._env = environment(self.folder, LAKE_URL=str(self.lake))
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self.start_door("1")
            self.worker = self.start_worker()
            supervisor = threading.Thread(target=self._tend, daemon=True)
            supervisor.start()
            stack.callback(supervisor.join)
            stack.callback(self._over.set)
            wait_for("the door has its partitions", lambda: self.door_members() == [settings.READINGS_PARTITIONS])
            self._stack = stack.pop_all()
        return self

    def _tend(self) -> None:
        turn = 0
        while not self._over.wait(ARCHIVE_EVERY_S):
            turn += 1
            if self._tidied and turn % TIDY_EVERY == 0:
                tidy_lake.apply_async(expires=TIDY_EVERY * ARCHIVE_EVERY_S)
            archive_share.apply_async(kwargs={"share": 0, "shares": 1}, expires=ARCHIVE_EVERY_S)
            for name, part in list(self.doors.items()):
                if part.process.poll() is not None:
                    self.start_door(name)

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is not None:
            self._tell_last_words()
        for part in self._parts:  # nothing of theirs is wanted any more: no need to stop one after the other
            with contextlib.suppress(ProcessLookupError):
                os.killpg(part.process.pid, signal.SIGKILL)
        self._stack.close()
        redis_connection().flushdb()

    def _tell_last_words(self) -> None:
        """What each part said last, for whoever reads why the whole went wrong."""
        for part in self._parts:
            words = part.said().splitlines()[-LAST_WORDS:]
            print(f"--- {part.log.name}, ended with {part.process.poll()}", *words, sep="\n", file=sys.stderr)

    def _run(self, name: str, command: list[str]) -> Part:
        log = self.folder / f"{len(self._parts):03d}-{name}.log"
        part = Part(fork(self._stack, command, log, env=self._env), log)
        self._parts.append(part)
        return part

    def said(self, of: str = "") -> str:
        """What all parts have said, or those with `of` in their name."""
        return "".join(part.said() for part in self._parts if of in part.log.name)

    # --- doors ---

    def start_door(self, name: str) -> None:
        self.doors[name] = self._run(f"door-{name}", ["manage.py", "run_door", "--name", name])

    def dismiss_door(self, name: str) -> int:
        """Ask a door to leave; its exit code."""
        part = self.doors.pop(name)
        part.process.terminate()
        return part.process.wait(60)

    def door_errors(self) -> int:
        """How often a door has ended by itself, other than for want of the broker."""
        said = self.said("door")
        return said.count("Traceback") - len(re.findall(r"^cimpl.KafkaException", said, re.MULTILINE))

    def door_members(self) -> list[int]:
        """How many partitions each member of the doors' group has, fewest first; none while nobody can say."""
        # Measured: a client that is five minutes old does not find the group again after the broker was away.
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        try:
            found = admin.describe_consumer_groups(["door"], request_timeout=10)["door"].result()
        except KafkaException:  # the coordinator of a group that is just being made, or moves
            return []
        return sorted(len(m.assignment.topic_partitions) for m in found.members if m.assignment is not None)

    def decided(self) -> bool:
        """Whether the doors have decided every packet that has arrived."""
        return all_decided(self.bootstrap)

    # --- archive tasks ---

    def start_worker(self, application: str = "portal") -> Part:
        """A Celery worker for the lake; with another application than ours, one that a test prepared."""
        name = f"worker-{len(self._parts)}"
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        options = ["-Q", "lake", "-c", "1", "-n", f"{name}@%h", "-l", "INFO", *quiet]
        celery = ["-m", "celery", "-A", application, "--workdir", str(ROOT)]
        return self._run(name, [*celery, "worker", *options])

    def task_process(self, worker: Part) -> psutil.Process | None:
        """The process in which this worker's tasks run, if there is one at the moment."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(worker.process.pid).children()
            return children[0] if children else None
        return None

    def archived(self) -> bool:
        """Whether everything that was admitted lies in the lake."""
        return all_archived(self.bootstrap, str(self.lake))
