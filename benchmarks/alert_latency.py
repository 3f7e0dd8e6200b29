"""From a packet that confirms a deterioration, as it is sent, to the message in an open browser socket.

The whole stack runs (Kafka, Redis, PostgreSQL, web server, door, watcher, Celery) under 500 readings a second of other
people. One person after another gets worse: a first reading out of range, then the one that confirms it, which starts
the clock. A clinician's socket, signed in and opened as a page opens it, stops it.

python benchmarks/alert_latency.py           400 alerts
python benchmarks/alert_latency.py --quick   80, in less than 50 s
"""

import argparse
import asyncio
import json
import os
import random
import statistics

from stack import said
from ward import Background, Clock, cookie, listen, page, patients, portal, producer, until, worsen

OTHERS = 300  # people who are well: person 1 to 300
BETWEEN_S = (0.1, 0.3)  # from one person's confirming packet to the next person's
WITHIN_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="in less than 50 s")
    parser.add_argument("--alerts", type=int, help="how many, instead of 400 (80 with --quick)")
    options = parser.parse_args()
    alerts = options.alerts or (80 if options.quick else 400)
    with portal(OTHERS + 1 + alerts) as (port, name):
        sick = patients(range(OTHERS + 1, OTHERS + 1 + alerts + 1))
        clock, per_s = asyncio.run(measured(port, cookie(), sick))
    latencies = clock.latencies()
    found = {
        "p50_s": round(statistics.median(latencies), 3),
        "p99_s": round(statistics.quantiles(latencies, n=100, method="inclusive")[98], 3),
        "max_s": round(latencies[-1], 3),
        "alerts": len(latencies),
        "missing": len(clock.sent) - len(latencies),
        "readings_per_s": round(per_s),
        "load": round(os.getloadavg()[0], 1),
        "broker": name,
    }
    print(json.dumps(found))
    if found["missing"]:
        raise SystemExit(1)


async def measured(port: int, session: str, sick: dict[int, str]) -> tuple[Clock, float]:
    """Let everybody in `sick` get worse, the first one to see that all is running; clock and background load."""
    sender, clock = producer(), Clock()
    background = Background(sender, OTHERS)
    async with page(port, session) as socket:
        listening = asyncio.create_task(listen(socket, clock))
        sending = asyncio.create_task(background.run())
        first, *others = sick
        await worsen(sender, first, sick[first], clock)
        if not await until(lambda: first in clock.heard, 2 * WITHIN_S):
            raise SystemExit(f"The first alert did not come within {2 * WITHIN_S:.0f} s.")
        said("the first alert has come; measuring")
        clock.sent.clear()
        background.restart()
        worsening = []
        for person in others:
            worsening.append(asyncio.create_task(worsen(sender, person, sick[person], clock)))
            await asyncio.sleep(random.uniform(*BETWEEN_S))
        await asyncio.gather(*worsening)
        per_s = background.per_s()
        await until(lambda: clock.heard.keys() >= clock.sent.keys(), WITHIN_S)
        if listening.done():
            raise SystemExit("The socket was closed before the end.")
        for task in (listening, sending):
            task.cancel()
        sender.flush(WITHIN_S)
    return clock, per_s


if __name__ == "__main__":
    main()
