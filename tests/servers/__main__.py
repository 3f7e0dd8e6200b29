"""`python -m tests.servers -- COMMAND…`: start what this machine has, run the command with its addresses, stop it all.

The command gets TEST_KAFKA_BOOTSTRAP_SERVERS, TEST_DATABASE_URL, TEST_REDIS_URL, TEST_S3_ENDPOINT,
TEST_GLACIER_ENDPOINT and TEST_CHROMIUM; one that is set already is left alone. What is missing here is said in one
line, and its tests are skipped. `.ci/install` installs it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers.chromium import chromium
from tests.servers.kafka import kafka
from tests.servers.missing import Missing
from tests.servers.postgres import postgres
from tests.servers.redis import redis
from tests.servers.s3 import glacier, s3

Starter = Callable[[Path, contextlib.ExitStack], str]
SERVERS: dict[str, Starter] = {
    "TEST_KAFKA_BOOTSTRAP_SERVERS": kafka,
    "TEST_DATABASE_URL": postgres,
    "TEST_REDIS_URL": redis,
    "TEST_S3_ENDPOINT": s3,
    "TEST_GLACIER_ENDPOINT": glacier,
    "TEST_CHROMIUM": chromium,
}


def main() -> int:
    command = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellrange-servers-")))
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own
        env = dict(os.environ)
        wanted = {name: start for name, start in SERVERS.items() if not env.get(name)}
        with ThreadPoolExecutor() as pool:
            started = {name: pool.submit(start, folder, stack) for name, start in wanted.items()}
        for name, result in started.items():
            try:
                env[name] = result.result()
            except Missing as missing:
                print(f"{name} stays unset: {missing}", file=sys.stderr)
        try:
            return subprocess.run(command, env=env, check=False).returncode
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
