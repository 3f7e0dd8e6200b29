"""A server as a child that ends with us."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    pid: int

    def wait(self, timeout: float | None = None, /) -> int: ...


def run(stack: contextlib.ExitStack, command: Sequence[str], log: Path, **more: object) -> subprocess.Popen[bytes]:
    """Start a server in a group of its own, stopped when the stack unwinds; killed if it does not stop in 10 s."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **more
        )
    stack.callback(stop_group, process)
    return process


def stop_group(process: Process) -> None:
    """Stop a process that leads a group, and all of the group; kill them if it has not stopped in 10 s."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
