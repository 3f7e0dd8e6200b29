"""`python -m tests.faults.watchers`: no alert is lost and none raised twice, whatever happens to a watcher or to Redis.

On a real Apache Kafka, PostgreSQL and Redis, with two watchers at a time: one kills itself at each point between its
steps, one freezes for STOPPED_S and is woken, Redis is emptied. Every patient has two devices on different partitions,
which only together make an alert. Alerts are counted at Bob's open socket and in his mailbox; Charlie, of another team,
must hear nothing of them. The last line is one JSON object; the exit code says whether all is well. The servers are
started (`tests.servers`) unless they are given.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

POINTS = ("after_score", "before_commit", "after_database", "after_announce", "after_checkpoint", "after_offset")
STOPPED_S = 30.0
NEEDED = ("TEST_KAFKA_BOOTSTRAP_SERVERS", "TEST_DATABASE_URL", "TEST_REDIS_URL")


def main() -> int:
    if not all(os.environ.get(name) for name in NEEDED):
        os.execv(sys.executable, [sys.executable, "-m", "tests.servers", "--", sys.executable, "-m", __spec__.name])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django
    from django.test.utils import setup_databases, teardown_databases

    django.setup()
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory(prefix="wellrange-watchers-") as folder:
            return _rounds(Path(folder))
    finally:
        teardown_databases(databases, verbosity=0)


def _rounds(folder: Path) -> int:
    from tests.faults import watch_rounds as rounds
    from tests.faults.watch_service import Service
    from tests.portal.conftest import make_cast

    begun, killed, gave_up = time.monotonic(), 0, 0

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {what}", flush=True)

    with Service(folder, make_cast()) as service:
        first, _ = service.start_watcher(), service.start_watcher()
        patients = rounds.Patients(service, spare=len(POINTS) + 6)
        rounds.nothing_happens(patients)
        say(f"two watchers: {len(patients.worse)} alerts")
        first.process.terminate()
        for point in POINTS:
            killed += rounds.watchers_kill_themselves(patients, point)
            say(f"killed itself {point}")
        for point in ("after_score", "before_commit"):
            gave_up += rounds.watcher_freezes(patients, point, stopped_s=STOPPED_S)
            say(f"frozen {point} for {STOPPED_S:.0f} s, woken, gave up")
        rounds.watcher_is_stopped(patients, stopped_s=STOPPED_S)
        say(f"stopped anywhere for {STOPPED_S:.0f} s and woken")
        second = service.start_watcher()
        rounds.redis_is_emptied(patients)
        say("Redis emptied")
        rounds.redis_is_emptied(patients, killed=[second])
        say("Redis emptied and a watcher killed")
        figures = patients.figures_in_the_end()
    print(json.dumps({"points": len(POINTS), "killed": killed, "frozen": 2, "gave_up": gave_up, **figures}))
    return 0 if rounds.is_well(figures) and (killed, gave_up) == (len(POINTS), 2) else 1


if __name__ == "__main__":
    sys.exit(main())
