"""PostgreSQL as Debian packages it; as root it runs as the user `postgres`, since it refuses to be root."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.missing import Missing, free_port, wait_until
from tests.servers.process import run

QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


def postgres(folder: Path, stack: contextlib.ExitStack) -> str:
    """Start it; the URL of its database. Raises Missing."""
    programs = _programs()
    data, port = folder / "postgres", free_port()
    data.mkdir()
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        shutil.chown(data, "postgres", "postgres")
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    initdb = [programs / "initdb", "-D", data, "-U", "wellrange", "--auth=trust", "--no-sync", "-E", "UTF8"]
    made = subprocess.run(initdb, capture_output=True, text=True, check=False, cwd="/", **as_user)
    if made.returncode:
        raise Missing(f"PostgreSQL's data could not be made: {made.stderr[-300:]}")
    settings = [part for setting in (*QUICK, "unix_socket_directories=") for part in ("-c", setting)]
    server = [str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), *settings]
    run(stack, server, folder / "postgres.log", cwd="/", **as_user)
    ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL")
    return f"postgres://wellrange@127.0.0.1:{port}/postgres"


def _programs() -> Path:
    """Where initdb and postgres are: the newest of Debian's versions, else what the PATH has."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    raise Missing("PostgreSQL is not installed (apt-get install postgresql)")
