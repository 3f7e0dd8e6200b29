"""S3 over HTTP: versitygw, a real server over a folder, built once per machine from its Go module.

Where there is no Go of GO or newer to build it with, ministack stands in, in an environment of its own.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from tests.servers.missing import Missing, free_port, listens, wait_until
from tests.servers.process import run

VERSION = "v1.8.0"
GO = (1, 25)
MINISTACK = "1.5.33"
ACCESS_KEY, SECRET_KEY, REGION = "wellrange-test", "a-secret-for-tests-and-for-nothing-else", "us-east-1"


def s3(folder: Path, stack: contextlib.ExitStack) -> str:
    """Start it; its endpoint. The keys are ACCESS_KEY and SECRET_KEY. Raises Missing."""
    port = free_port()
    data, side = folder / "s3-objects", folder / "s3-metadata"
    data.mkdir()
    side.mkdir()
    program = versitygw()
    if program is not None:
        keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION]
        command = [str(program), *keys, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive"]
        run(stack, [*command, "posix", "--sidecar", str(side), str(data)], folder / "s3.log")
    else:
        _run_ministack(stack, port, folder / "s3.log")
    wait_until(lambda: listens(port), "S3")
    return f"http://127.0.0.1:{port}"


def glacier(folder: Path, stack: contextlib.ExitStack) -> str:
    """Start a server with archive storage classes, restore states and versions, which versitygw lacks; its endpoint."""
    port = free_port()
    _run_ministack(stack, port, folder / "glacier.log")
    wait_until(lambda: listens(port), "ministack")
    return f"http://127.0.0.1:{port}"


def _run_ministack(stack: contextlib.ExitStack, port: int, log: Path) -> None:
    env = {**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "s3"}
    run(stack, [str(ministack())], log, env=env)


def versitygw() -> Path | None:
    """The server, fetched and built at the first need; None where there is no Go that can build it."""
    if found := shutil.which("versitygw"):
        return Path(found)
    home = _cache() / f"versitygw-{VERSION}"
    program = home / "versitygw"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None or _version(go) < GO:
        return None
    making = home.with_name(f"{home.name}.{os.getpid()}")
    env = {**os.environ, "GOBIN": str(making), "GOFLAGS": "-modcacherw"}
    module = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
    built = subprocess.run([go, "install", module], env=env, capture_output=True, text=True, check=False)
    if built.returncode:
        raise Missing(f"versitygw could not be built: {built.stderr[-300:]}")
    with contextlib.suppress(OSError):  # another process was faster
        making.rename(home)
    return program


def ministack() -> Path:
    """ministack's program in an environment of its own, since it pins other versions than ours."""
    home = _cache() / f"ministack-{MINISTACK}"
    program = home / "bin" / "ministack"
    if program.exists():
        return program
    uv = Path(sys.executable).with_name("uv")
    making = home.with_name(f"{home.name}.{os.getpid()}.{threading.get_ident()}")
    for command in (
        [uv, "venv", "--quiet", "--relocatable", making],
        [uv, "pip", "install", "--quiet", "--python", making / "bin" / "python", f"ministack=={MINISTACK}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"there is neither Go {GO[0]}.{GO[1]} for versitygw nor ministack: {done.stderr[-300:]}")
    with contextlib.suppress(OSError):
        making.rename(home)
    return program


def _version(go: str) -> tuple[int, int]:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wellrange"
    home.mkdir(parents=True, exist_ok=True)
    return home
