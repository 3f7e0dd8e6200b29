"""What a benchmark stands on: a real Apache Kafka (else Tansu), a database of invented people, all gone afterwards."""

import contextlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from portal.embedded.servers import kafka as tansu  # noqa: E402 needs the path
from portal.embedded.supervisor import Supervisor  # noqa: E402
from tests.servers.kafka import kafka as apache_kafka  # noqa: E402
from tests.servers.missing import Missing  # noqa: E402
from tests.servers.postgres import postgres  # noqa: E402

BEGUN = time.monotonic()


def said(what: str) -> None:
    """Tell the reader how far we are."""
    print(f"{time.monotonic() - BEGUN:5.1f} s  {what}", flush=True)


def folder(stack: contextlib.ExitStack) -> Path:
    """A folder for everything that is written, which other users (PostgreSQL) can enter."""
    made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellrange-benchmark-")))
    made.chmod(0o755)
    return made


def settings(made: Path, **more: str) -> None:
    """The portal's settings for this process and its children."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "VAR_DIR": str(made),
        "DATABASE_URL": sqlite(made),
        "SECRET_KEY": "a-key-for-benchmarks-and-for-nothing-else-0123456789",
        "HTTPS": "false",
        "EMAIL_URL": "dummymail://",
        "LOG_LEVEL": "WARNING",
        **more,
    }


def broker(made: Path, stack: contextlib.ExitStack) -> tuple[str, str]:
    """Start a broker: its address, and which it is."""
    try:
        return apache_kafka(made, stack), "Apache Kafka"
    except Missing as missing:
        print(f"No Apache Kafka ({missing}): Tansu instead, without transactions.")
    part, address = tansu()
    supervisor = Supervisor(made / "logs", os.environ)
    stack.callback(supervisor.stop)
    supervisor.start(part)
    os.environ["KAFKA_TRANSACTIONS"] = "false"
    return address, "Tansu"


PART = re.compile(r"run_\w+|uvicorn|celery .*?(?:-n \w+| beat)|kafka\.Kafka|postgres|redis")


def cpu_s() -> dict[str, float]:
    """The seconds of CPU time that each part of the stack has used so far, and this process ("benchmark")."""
    own = psutil.Process()
    used = {"benchmark": sum(own.cpu_times()[:2])}
    for process in own.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found = PART.search(" ".join(process.cmdline()))
            name = found[0].split()[-1] if found else process.name()
            used[name] = used.get(name, 0.0) + sum(process.cpu_times()[:2])
    return used


def database(made: Path, stack: contextlib.ExitStack) -> str:
    """Start PostgreSQL, or take SQLite where there is none: its URL."""
    try:
        return postgres(made, stack)
    except Missing as missing:
        print(f"No PostgreSQL ({missing}): SQLite instead.")
        return sqlite(made)


def sqlite(made: Path) -> str:
    return f"sqlite:///{made / 'wellrange.sqlite3'}"


def people(count: int) -> None:
    """Make the tables, and so many people with devices, consents and plans: person N wears `device_N`."""
    import django
    from django.core.management import call_command
    from django.utils import timezone

    django.setup()
    from portal.embedded.seed import seed

    call_command("migrate", verbosity=0, interactive=False)
    seed(timezone.now(), count)
