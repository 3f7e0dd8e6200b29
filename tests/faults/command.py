"""What the long runs share: servers started if they are not given, a database of their own, a folder, a stop-watch."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NEEDED = ("TEST_KAFKA_BOOTSTRAP_SERVERS", "TEST_DATABASE_URL", "TEST_REDIS_URL")
Say = Callable[[str], None]


def with_servers(module: str) -> None:
    """Start this module again under `tests.servers` unless Kafka, PostgreSQL and Redis are given."""
    if not all(os.environ.get(name) for name in NEEDED):
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execv(sys.executable, [sys.executable, "-m", "tests.servers", "--", *command])


@contextlib.contextmanager
def stage() -> Iterator[tuple[Path, Say]]:
    """A new database with Django ready to use it, a folder, and a function that says what happens when."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django
    from django.test.utils import setup_databases, teardown_databases

    django.setup()
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {what}", flush=True)

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory(prefix="wellrange-faults-") as folder:
            yield Path(folder), say
    finally:
        teardown_databases(databases, verbosity=0)
