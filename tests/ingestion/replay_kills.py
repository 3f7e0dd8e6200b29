"""The fault run of `replay_refused`: killed until so many SIGKILLs have hit, then every packet must be there once.

python -m tests.servers -- python -m tests.ingestion.replay_kills --kills 50
"""

import argparse
import json
import os
import random
import signal
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime

from ingestion.kafka import READINGS, topics_create
from ingestion.replay import replay
from tests.ingestion.packets import packet, read, refuse
from tests.ingestion.test_replay_refused import PLACES, run_until
from tests.servers.forked import Forked

PACKETS = 700  # refused before each run: two transactions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    bootstrap, chance = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"], random.Random(options.seed)
    topics_create(bootstrap, readings=4, admitted=4)
    hits, run, devices = 0, 0, []
    while hits < options.kills:
        devices.append(f"kills-{uuid.uuid4().hex}")
        refuse(bootstrap, [packet(devices[-1], minute) for minute in range(PACKETS)], devices=devices[-1:])
        place = chance.choice(PLACES)
        turn = 1 if place == "after_fence" else chance.choice((1, 2))
        code = Forked(run_until, (bootstrap, place, turn)).wait()
        hits, run = hits + (code == -signal.SIGKILL), run + 1
        ended = "killed" if code < 0 else "ended"
        print(f"run {run}: {place}, {ended} ({hits} of {options.kills})", file=sys.stderr)
    replay(bootstrap, "unassigned", transactions=True, now=datetime.now(UTC))
    mine = set(devices)
    found = Counter(m.value() for m in read(bootstrap, READINGS) if m.key() and m.key().decode() in mine)
    expected = len(devices) * PACKETS
    result = {
        "kills": hits,
        "packets": expected,
        "lost": expected - len(found),
        "doubled": sum(count - 1 for count in found.values()),
    }
    print(json.dumps(result))
    return 1 if result["lost"] or result["doubled"] else 0


if __name__ == "__main__":
    sys.exit(main())
