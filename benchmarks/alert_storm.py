"""An alert storm: 500 people get worse within ten seconds. How long until each alert stands on a clinician's board?

The whole stack runs as in `alert_latency.py`, under the same 500 readings a second. The clock of each person starts
with the packet that confirms the deterioration. It stops when the alert's line is in the board as the open page fetches
it: the page asks for it once the socket has said that something changed, and again while there is more. In the end the
database must hold one alert, and one mail to the responder, for each of them.

python benchmarks/alert_storm.py           500 people in 10 s
python benchmarks/alert_storm.py --quick   the same: it takes less than 50 s as it is
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

from stack import cpu_s, said
from ward import Background, Clock, cookie, listen, page, patients, portal, producer, until, worsen

OTHERS = 100  # people who are well: person 1 to 100
STORM_S = 10.0
WITHIN_S = 40.0
LINE = re.compile(rb'<tr id="p(\d+)"(?:(?!<tr ).)*?data-alert="', re.DOTALL)


@dataclass(slots=True)
class Board:
    """By person, when the alert's line was first there; and how long each fetch took."""

    shown: dict[int, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)  # of each part of the stack, until the last alert was there

    def fetch(self, port: int, session: str) -> None:
        began = time.monotonic()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/board/", headers={"Cookie": session, "HX-Request": "true"}
        )
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            text = answer.read()
        now = time.monotonic()
        self.took.append(now - began)
        for person in LINE.findall(text):
            self.shown.setdefault(int(person), now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same: it takes less than 50 s as it is")
    parser.add_argument("--people", type=int, default=500, help="how many get worse (default 500)")
    options = parser.parse_args()
    with portal(OTHERS + 1 + options.people) as (port, name):
        sick = patients(range(OTHERS + 1, OTHERS + 1 + options.people + 1))
        clock, board, took = asyncio.run(storm(port, cookie(), sick))
        alerts, doubles = in_the_end(list(clock.sent))
    heard = clock.latencies()
    shown = sorted(board.shown[person] - at for person, at in clock.sent.items() if person in board.shown)
    found = {
        **quantiles("", shown),
        **quantiles("socket_", heard),
        "alerts": alerts,
        "doubles": doubles,
        "missing": len(clock.sent) - len(shown),
        "storm_s": round(took, 1),
        "board_fetch_s": round(statistics.median(board.took), 3),
        "cpu_s": {name: round(s, 1) for name, s in sorted(board.cpu_s.items(), key=lambda of: -of[1]) if s >= 0.1},
        "load": round(os.getloadavg()[0], 1),
        "broker": name,
    }
    print(json.dumps(found))
    if found["missing"] or found["doubles"]:
        raise SystemExit(1)


def quantiles(of: str, latencies: list[float]) -> dict[str, float]:
    return {
        f"{of}p50_s": round(statistics.median(latencies), 3),
        f"{of}p99_s": round(statistics.quantiles(latencies, n=100, method="inclusive")[98], 3),
    }


async def storm(port: int, session: str, sick: dict[int, str]) -> tuple[Clock, Board, float]:
    """Let everybody in `sick` get worse within STORM_S, the first one before; both clocks, and how long it took."""
    sender, clock, board = producer(), Clock(), Board()
    background = Background(sender, OTHERS)
    async with page(port, session) as socket:
        listening = asyncio.create_task(listen(socket, clock))
        sending = asyncio.create_task(background.run())
        looking = asyncio.create_task(_look(port, session, clock, board))
        first, *others = sick
        await worsen(sender, first, sick[first], clock)
        if not await until(lambda: first in board.shown, 2 * WITHIN_S):
            raise SystemExit(f"The first alert did not come within {2 * WITHIN_S:.0f} s.")
        said("the first alert stands on the board; now the storm")
        clock.sent.clear()
        board.took.clear()
        before = cpu_s()
        began, worsening = time.monotonic(), []
        for number, person in enumerate(others):
            await asyncio.sleep(max(0.0, began + number * STORM_S / len(others) - time.monotonic()))
            worsening.append(asyncio.create_task(worsen(sender, person, sick[person], clock)))
        await asyncio.gather(*worsening)
        took = time.monotonic() - began
        await until(lambda: board.shown.keys() >= clock.sent.keys(), WITHIN_S)
        board.cpu_s = {name: used - before.get(name, 0.0) for name, used in cpu_s().items()}
        if listening.done() or looking.done():
            raise SystemExit("The socket or the board went away before the end.")
        for task in (listening, sending, looking):
            task.cancel()
        sender.flush(WITHIN_S)
    return clock, board, took


async def _look(port: int, session: str, clock: Clock, board: Board) -> None:
    """As the open page does: fetch the board while the socket has told of something that was not there yet, one fetch
    at a time, and rest after each for as long as it took, a second at most.
    """
    while True:
        if clock.heard.keys() - board.shown.keys():
            await asyncio.to_thread(board.fetch, port, session)
            await asyncio.sleep(min(board.took[-1], 1.0))
        await asyncio.sleep(0.02)


def in_the_end(people: list[int]) -> tuple[int, int]:
    """How many of these people have an alert, and how many alerts and mails there are beyond one of each person's."""
    from portal.alerts.models import Alert, Message

    alerts = Alert.objects.filter(episode__patient__in=people).values_list("episode__patient", flat=True)
    opened = Message.objects.filter(event__alert__episode__patient__in=people, event__kind="opened")
    mails = opened.values_list("event__alert__episode__patient", flat=True)
    counts = [Counter(alerts), Counter(mails)]
    return len(counts[0]), sum(count - 1 for counted in counts for count in counted.values())


if __name__ == "__main__":
    main()
