"""`python -m tests.faults.watchers`: no alert is lost and none raised twice, whatever happens to a watcher or to Redis.

On a real Apache Kafka, PostgreSQL and Redis, with two watchers at a time: one kills itself at each point between its
steps, one freezes for STOPPED_S and is woken, Redis is emptied. Every patient has two devices on different partitions,
which only together make an alert. Alerts are counted at Bob's open socket and in his mailbox; Charlie, of another team,
must hear nothing of them. The last line is one JSON object; the exit code says whether all is well. The servers are
started (`tests.servers`) unless they are given.
"""

import json
import sys

from tests.faults.command import stage, with_servers

POINTS = ("after_score", "before_commit", "after_database", "after_announce", "after_checkpoint", "after_offset")
FROZEN_AT = ("after_score", "before_commit")
STOPPED_S = 30.0


def main() -> int:
    with_servers(__spec__.name)
    killed, gave_up = 0, 0
    with stage() as (folder, say):
        from tests.faults import watch_rounds as rounds
        from tests.faults.watch_service import Service
        from tests.portal.conftest import make_cast

        with Service(folder, make_cast()) as service:
            first, _ = service.start_watcher(), service.start_watcher()
            patients = rounds.Patients(service, spare=len(POINTS) + 6)
            rounds.nothing_happens(patients)
            say(f"two watchers: {len(patients.worse)} alerts")
            first.process.terminate()
            for point in POINTS:
                killed += rounds.watchers_kill_themselves(patients, point)
                say(f"killed itself {point}")
            for point in FROZEN_AT:
                gave_up += rounds.watcher_freezes(patients, point, stopped_s=STOPPED_S)
                say(f"frozen {point} for {STOPPED_S:.0f} s and woken")
            rounds.watcher_is_stopped(patients, stopped_s=STOPPED_S)
            say(f"stopped anywhere for {STOPPED_S:.0f} s and woken")
            second = service.start_watcher()
            rounds.redis_is_emptied(patients)
            say("Redis emptied")
            rounds.redis_is_emptied(patients, killed=[second])
            say("Redis emptied and a watcher killed")
            figures = patients.figures_in_the_end()
    hits = {"points": len(POINTS), "killed": killed, "frozen": len(FROZEN_AT), "gave_up": gave_up}
    print(json.dumps(hits | figures))
    return 0 if rounds.is_well(figures) and (killed, gave_up) == (len(POINTS), len(FROZEN_AT)) else 1


if __name__ == "__main__":
    sys.exit(main())
