"""What must be true before anything is started; each problem is one sentence that says what to do."""

import errno
import os
import socket
import sys
from pathlib import Path


class NotReady(Exception):
    """Something is missing; the text says what to do."""


def check_python(version: tuple[int, ...] = sys.version_info[:2]) -> None:
    if version < (3, 11):
        shown = ".".join(map(str, version))
        raise NotReady(f"Wellrange needs Python 3.11 or newer, this is {shown}: try make PYTHON=python3.11 demo")


def check_folder(folder: Path) -> None:
    """Make the folder if need be, and see that we may write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise NotReady(f"Cannot write to {folder} ({why}): name another folder with VAR_DIR=…") from None


def check_port(port: int) -> None:
    """See that nobody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise NotReady(
                    f"Port {port} is taken by another program: choose one with PORT=8001 make demo"
                ) from None
            raise NotReady(
                f"Port {port} cannot be used ({error.strerror}): choose one above 1024 with PORT=…"
            ) from None
