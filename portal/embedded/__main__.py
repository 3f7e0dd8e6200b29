"""`make demo`: a ward of simulated people on this machine, from device to live alert, on the real path.

python -m portal.embedded            run it until Ctrl-C
python -m portal.embedded --reset    forget its people and history
"""

import argparse
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from portal.embedded.preflight import NotReady, check_folder, check_port, check_python
from portal.embedded.servers import KAFKA_PORT, kafka, valkey
from portal.embedded.supervisor import NeverReady, Part, Supervisor

ROOT = Path(__file__).resolve().parent.parent.parent
PEOPLE = 100
# Alice's oxygen falls so many seconds after the simulator's start, and stays low for a quarter of an hour.
DETERIORATION = "hypoxia:7:45:900"
LIVE_FROM = PEOPLE // 2  # so many people with live values make a live board
READY_WITHIN_S = 120.0
KEPT = ("secret-key", "logs", "mail", "valkey", "lake", "demo-password", "beat-schedule", "wellrange.sqlite3")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reset", action="store_true", help="forget the demo's people and history")
    parser.add_argument("--port", default=os.environ.get("PORT", "8000"), help="of the portal (default PORT, or 8000)")
    options = parser.parse_args()
    folder = Path(os.environ.get("VAR_DIR", ROOT / "var")).resolve()
    started = float(os.environ.get("WELLRANGE_STARTED", time.time()))
    try:
        check_python()
        check_folder(folder)
        with _only_one(folder) as lock:
            if options.reset:
                _forget(folder)
                return 0
            port = check_port(options.port)
            lock.write(f"http://127.0.0.1:{port}/")
            lock.flush()
            return _run(folder, port, started)
    except (NotReady, NeverReady) as problem:
        print(problem, file=sys.stderr)
        return 2


def _run(folder: Path, port: int, started: float) -> int:
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: stopping.append(n))
    progress = _Progress(started, folder / "logs")
    progress.step("the environment")
    parts, env = _environment(folder, port)
    os.environ |= env
    supervisor = Supervisor(folder / "logs", os.environ)
    try:
        supervisor.start(*parts)
        progress.step("broker and Redis" if parts else "broker and Redis elsewhere")
        password = _people()
        progress.step("database and people")
        supervisor.start(*portal_parts(folder, port))
        progress.step("portal, door, watcher, tasks")
        supervisor.start(_simulator())
        live = _wait_for_values(stopping)
        progress.step("live values")
        if live:
            _say_ready(started, port, folder, password)
            supervisor.watch(lambda: bool(stopping))
        elif not stopping:
            raise NeverReady(f"No live values came within {READY_WITHIN_S:.0f} s: see {folder / 'logs'}")
    finally:
        print("Stopping…", flush=True)
        supervisor.stop()
    print("Everything is stopped; people and history are kept. make demo-reset forgets them.")
    return 0


def _environment(folder: Path, port: int) -> tuple[list[Part], dict[str, str]]:
    """What must be started here, and the settings of every process. A part whose URL is given is somewhere else."""
    parts: list[Part] = []
    env = {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "VAR_DIR": str(folder),
        "SECRET_KEY": os.environ.get("SECRET_KEY") or _secret(folder / "secret-key"),
        "HTTPS": os.environ.get("HTTPS", "false"),
        "PORTAL_URL": f"http://127.0.0.1:{port}",
        "EMAIL_URL": os.environ.get("EMAIL_URL", f"filemail:///{folder / 'mail'}"),
        "OMP_NUM_THREADS": "1",
    }
    (folder / "mail").mkdir(exist_ok=True)
    if "KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
        part, env["KAFKA_BOOTSTRAP_SERVERS"] = kafka()
        env["KAFKA_TRANSACTIONS"] = "false"
        parts.append(part)
    if "REDIS_URL" not in os.environ:
        part, url = valkey(folder / "valkey")
        env["REDIS_URL"] = f"{url}/0"
        parts.append(part)
    return parts, env


def _people() -> str:
    """Tables and people, in this process: it saves two starts of Django."""
    import django
    from django.core.management import call_command
    from django.utils import timezone

    django.setup()
    from portal.embedded.seed import password, seed

    call_command("migrate", verbosity=0, interactive=False)
    seed(timezone.now(), PEOPLE)
    return password()


def portal_parts(folder: Path, port: int) -> list[Part]:
    """Everything of ours that runs, for the settings in the environment; `folder` is for what it writes."""
    python, manage = sys.executable, str(ROOT / "manage.py")
    celery = [python, "-m", "celery", "-A", "portal", "--workdir", str(ROOT)]
    worker = [*celery, "worker", "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    web = [python, "-m", "uvicorn", "portal.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    return [
        Part(
            "web", [*web, "--app-dir", str(ROOT), "--lifespan", "off", "--no-access-log"], lambda: _answers_ready(port)
        ),
        Part("door", [python, manage, "run_door"]),
        Part("watcher", [python, manage, "run_watcher"]),
        # Two workers, so that no long task of the lake delays an alert.
        Part("care", [*worker, "-n", "care@%h", "-Q", "care", "-P", "threads", "-c", "2"]),
        Part("lake", [*worker, "-n", "lake@%h", "-Q", "lake", "-P", "solo"]),
        Part("beat", [*celery, "beat", "-l", "WARNING", "--pidfile=", "-s", str(folder / "beat-schedule")]),
    ]


def _simulator() -> Part:
    script = str(ROOT / "simulator" / "iot_simulator.py")
    options = ["--devices", str(PEOPLE), "--duration", "0", "--episode", DETERIORATION]
    return Part("simulator", [sys.executable, script, *options])


def _wait_for_values(stopping: list[int]) -> bool:
    """Wait until half of the people have a value that was measured since now."""
    from django.utils import timezone

    from portal.people.models import Patient
    from portal.pipeline.latest import latest_read

    begun, until = timezone.now(), time.monotonic() + READY_WITHIN_S
    subjects = list(Patient.objects.values_list("subject", flat=True))
    while not stopping and time.monotonic() < until:
        values = latest_read(subjects).values()
        if sum(any(v.measured_at >= begun for v in of_one.values()) for of_one in values) >= LIVE_FROM:
            return True
        time.sleep(0.2)
    return False


def _answers_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _say_ready(started: float, port: int, folder: Path, password: str) -> None:
    print(f"\nReady in {time.time() - started:.0f} s: http://127.0.0.1:{port}/\n")
    print(f"  Sign in as   bob      clinician: the board              password for all: {password}")
    print("               alice    patient: her own readings")
    print("               charlie  clinician of another team")
    print("               admin    administrator: devices, people, plans\n")
    print("Within 90 s Alice's oxygen falls, and the alert comes to Bob's board by itself.")
    print(f"Send more from a second terminal: cd simulator && {_broker()}python iot_simulator.py")
    print(f"Logs are in {folder / 'logs'}. Ctrl-C stops everything.", flush=True)


def _broker() -> str:
    """What tells the simulator where Kafka is, if it is not where the simulator looks by itself."""
    address = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    return "" if address == f"127.0.0.1:{KAFKA_PORT}" else f"KAFKA_BOOTSTRAP_SERVERS={address} "


class _Progress:
    """One line per step, with the seconds it took; kept in logs/start.txt."""

    def __init__(self, started: float, logs: Path) -> None:
        self._last = self._started = started
        logs.mkdir(parents=True, exist_ok=True)
        self._log = (logs / "start.txt").open("w")

    def step(self, done: str) -> None:
        now = time.time()
        line = f"{now - self._started:6.1f} s  {done} ({now - self._last:.1f} s)"
        self._last = now
        print(line, flush=True)
        print(line, file=self._log, flush=True)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[IO[str]]:
    with (folder / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise NotReady(f"The demo already runs: {lock.read()} (stop it with Ctrl-C where it was started)") from None
        lock.truncate(0)
        yield lock


def _secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


def _forget(folder: Path) -> None:
    for name in KEPT:
        if name == "demo-password" and "DATABASE_URL" in os.environ:
            continue  # the people are in a database elsewhere, and keep their password
        for path in folder.glob(f"{name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"The demo's people and history are gone from {folder}.")


if __name__ == "__main__":
    sys.exit(main())
