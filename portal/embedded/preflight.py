"""What must be true before anything is started; each problem is one sentence that says what to do."""

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


def check_port(text: str) -> int:
    """The number of this port, on which nobody listens at 127.0.0.1."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise NotReady(f"“{text}” is not a port: choose a number from 1024 to 65535 with PORT=8001 make demo")
    port = int(text)
    try:
        bind(port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise NotReady(f"Port {port} cannot be used ({why}): choose another one with PORT=8001 make demo") from None
    return port


def bind(port: int) -> int:
    """Bind this port of 127.0.0.1 (0: any) for a moment; its number. Raises OSError where somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])
