"""Starts the parts of the one-command stack, keeps them running, and leaves no process behind."""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # before a dead part is started again; doubled each time
STEADY_S = 30.0  # a part that lived so long starts again from FIRST_WAIT_S
STOP_S = 10.0  # how long a part may take to stop before it is killed
_PR_SET_PDEATHSIG = 1


class NeverReady(Exception):
    """A part did not become ready; the text names it and its log."""


@dataclass(frozen=True, slots=True)
class Part:
    """A process to run: `ready` says whether it answers, `env` is added to the environment."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = lambda: True
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    started: float
    failures: int = 0
    again_at: float = 0.0


class Supervisor:
    """Runs parts, each in a process group of its own with a log file of its own."""

    def __init__(self, logs: Path, env: Mapping[str, str]) -> None:
        self._logs, self._env = logs, dict(env)
        self._running: list[_Running] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, *parts: Part, within_s: float = 180.0) -> None:
        """Start these parts together and wait until all are ready. Raises NeverReady."""
        begun = time.monotonic()
        waiting = []
        for part in parts:
            self._running.append(self._start(part))
            waiting.append(self._running[-1])
        while waiting:
            for running in list(waiting):
                if running.process.poll() is not None:
                    raise NeverReady(f"{running.part.name} ended at once: see {self._log(running.part)}")
                if running.part.ready():
                    waiting.remove(running)
            if waiting and time.monotonic() - begun > within_s:
                names = ", ".join(r.part.name for r in waiting)
                raise NeverReady(f"{names} did not answer within {within_s:.0f} s: see {self._logs}")
            time.sleep(0.05)

    def watch(self, stop: Callable[[], bool], every_s: float = 0.2) -> None:
        """Restart what dies, until `stop()`."""
        while not stop():
            now = time.monotonic()
            for place, running in enumerate(self._running):
                if running.process.poll() is not None:
                    self._running[place] = self._after_death(running, now)
            time.sleep(every_s)

    def stop(self) -> None:
        """Stop everything, the last started first, and wait until no process of theirs is left."""
        for running in reversed(self._running):
            self._signal(running, signal.SIGTERM)
            try:
                running.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop in %.0f s and is killed", running.part.name, STOP_S)
            self._signal(running, signal.SIGKILL)  # whatever is left of its group
            running.process.wait()
        self._running.clear()

    def pids(self) -> dict[str, int]:
        return {r.part.name: r.process.pid for r in self._running}

    def _after_death(self, running: _Running, now: float) -> _Running:
        if running.again_at == 0:
            self._signal(running, signal.SIGKILL)  # whatever it has left of its group
            steady = now - running.started > STEADY_S
            failures = 0 if steady else running.failures
            wait = min(FIRST_WAIT_S * 2**failures, LONGEST_WAIT_S)
            log.warning(
                "%s ended (%s) and starts again in %.1f s: see %s",
                running.part.name,
                running.process.returncode,
                wait,
                self._log(running.part),
            )
            running.failures, running.again_at = failures + 1, now + wait
        elif now >= running.again_at:
            again = self._start(running.part)
            again.failures = running.failures
            return again
        return running

    def _start(self, part: Part) -> _Running:
        with self._log(part).open("ab") as out:
            process = subprocess.Popen(
                part.command,
                env={**self._env, **part.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C comes to us, and we stop the parts in order
                preexec_fn=partial(_die_with, os.getpid()) if sys.platform == "linux" else None,
            )
        return _Running(part, process, time.monotonic())

    def _log(self, part: Part) -> Path:
        return self._logs / f"{part.name}.log"

    @staticmethod
    def _signal(running: _Running, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process.pid, number)


def _die_with(parent: int) -> None:
    """Linux kills the child when we are killed without a chance to stop it.

    Not SIGTERM: with broker and Redis gone in the same moment, a part may wait for them for ever.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before we could ask
        os._exit(1)
