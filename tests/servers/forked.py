"""A process of ours as a fork of one that has imported the libraries: it starts in a second of CPU instead of four.

Only libraries are imported before: the settings, and all that is ours, are read by the fork, in its own environment.
"""

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.servers.process import stop_group

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.worker",
    "confluent_kafka.admin",
    "deltalake",
    "django.contrib.postgres",
    "django.core.management",
    "django.db.models",
    "kombu.transport.redis",
    "msgspec",
    "psycopg",
    "pyarrow.compute",
    "pyarrow.parquet",
    "redis.asyncio",
)
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(LIBRARIES))


class Forked(_server.Process):  # type: ignore[name-defined,misc]
    """Calls `target`, which its module must name, in this environment; else as `subprocess.Popen` as far as needed."""

    def __init__(self, target: Callable[..., object], args: tuple[object, ...], env: Mapping[str, str] = os.environ):
        super().__init__(target=target, args=args)
        self._env = dict(env)
        self.start()

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._env)
        super().run()

    @property
    def returncode(self) -> int | None:
        return self.exitcode

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        self.join(timeout)
        if self.exitcode is None:
            raise subprocess.TimeoutExpired(self.name, timeout or 0)
        return self.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def fork(stack: contextlib.ExitStack, command: Sequence[str], log: Path, *, env: Mapping[str, str]) -> Forked:
    """Run what `python` would run with these arguments (a file, or `-m` and a module), in a group of its own.

    It is stopped when the stack unwinds; killed if it does not stop in 10 s.
    """
    log.touch()  # whoever looks into it before the fork has come so far finds it empty
    process = Forked(_become, (list(command), str(log)), env)
    stack.callback(stop_group, process)
    return process


def _become(command: list[str], log: str) -> None:
    os.setsid()
    with open(log, "wb") as out:
        for number in (1, 2):
            os.dup2(out.fileno(), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(ROOT)
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")
