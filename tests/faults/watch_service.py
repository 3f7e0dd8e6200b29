"""From device to alert as it runs for real: a door, watchers, the web and a task worker, each a process of its own."""

import contextlib
import os
import re
import signal
from pathlib import Path

from django.conf import settings

from ingestion.kafka import ADMITTED, topic_id
from portal.pipeline.latest import connection as redis_connection
from portal.pipeline.models import WatchPosition
from tests.faults.surroundings import environment, topics_make_anew, wait_for
from tests.faults.watch_people import Sender
from tests.faults.watch_witness import Mailbox, OpenPage
from tests.portal.conftest import Cast
from tests.servers.forked import Forked, fork
from tests.servers.missing import free_port, listens


class Watcher:
    """One `manage.py run_watcher`. `crash_at` is a point of `portal.pipeline.process.crash_point`."""

    def __init__(self, process: Forked, log: Path, crash_at: str) -> None:
        self.process, self._log, self.crash_at = process, log, crash_at

    @property
    def owner(self) -> str:
        """The name under which it owns partitions; empty until it has said so."""
        name = re.search(r" watcher ([0-9a-f]{32})$", self.said(), re.MULTILINE)
        return name[1] if name else ""

    def said(self) -> str:
        return self._log.read_text()

    @property
    def was_killed(self) -> bool:
        return self.process.poll() == -signal.SIGKILL

    @property
    def is_frozen(self) -> bool:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"


class Service:
    """Enter it and everything runs, on topics, a database and a Redis that were empty before."""

    def __init__(self, folder: Path, cast: Cast) -> None:
        self._folder, self.cast = folder, cast
        self.watchers: list[Watcher] = []
        self._processes: list[Forked] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Service":
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:  # nothing of theirs is wanted any more: no need to stop one after the other
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        bootstrap = settings.KAFKA_BOOTSTRAP_SERVERS
        topics_make_anew(bootstrap)
        redis_connection().flushdb()
        self._topic_id = topic_id(bootstrap, ADMITTED)
        self.sender = Sender(bootstrap)
        self.mailbox = stack.enter_context(Mailbox())
        self._env = environment(self._folder, EMAIL_URL=f"smtp://127.0.0.1:{self.mailbox.port}")
        port = free_port()
        self._run(stack, "door", ["manage.py", "run_door"])
        web = ["uvicorn", "portal.asgi:application", "--port", str(port), "--lifespan", "off", "--no-access-log"]
        self._run(stack, "web", ["-m", *web])
        worker = f"celery -A portal worker -Q care -P solo -B -s {self._folder}/beat --without-gossip --without-mingle"
        self._run(stack, "worker", ["-m", *worker.split()])
        self._watchers = stack.enter_context(contextlib.ExitStack())
        wait_for("the web", lambda: listens(port))
        self.bob, self.charlie = (
            stack.enter_context(OpenPage(port, self.cast.client(name).cookies["sessionid"].value))
            for name in ("bob", "charlie")
        )
        wait_for("Bob's and Charlie's sockets", lambda: self.bob.is_open and self.charlie.is_open)

    def _run(self, stack: contextlib.ExitStack, name: str, command: list[str], **env: str) -> Forked:
        self._processes.append(fork(stack, command, self._folder / f"{name}.log", env=self._env | env))
        return self._processes[-1]

    # --- watchers ---

    def start_watcher(self, crash_at: str = "") -> Watcher:
        name = f"watcher-{len(self.watchers) + 1}"
        process = self._run(self._watchers, name, ["manage.py", "run_watcher"], WELLRANGE_CRASH_AT=crash_at)
        self.watchers.append(Watcher(process, self._folder / f"{name}.log", crash_at))
        return self.watchers[-1]

    def running(self) -> list[Watcher]:
        return [w for w in self.watchers if w.process.poll() is None]

    def partitions_of(self, watcher: Watcher) -> list[int]:
        rows = WatchPosition.objects.filter(topic_id=self._topic_id, owner=watcher.owner)
        return sorted(rows.values_list("partition", flat=True))

    def wait_until_shared(self) -> None:
        """Every partition has an owner that runs, and every running watcher its fair share of them."""

        def shared() -> bool:
            counts = [len(self.partitions_of(w)) for w in self.running()]
            return sum(counts) == settings.ADMITTED_PARTITIONS and max(counts) - min(counts) <= 1

        wait_for("watchers share the partitions", shared)
