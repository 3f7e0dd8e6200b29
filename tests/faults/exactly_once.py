"""`python -m tests.faults.exactly_once`: whatever is killed, every packet is in the lake or in the refused once.

On a real Apache Kafka, PostgreSQL and Redis, at a steady rate: the door and the archive task are killed until so many
kills of each have hit, which aborted records in `vitals.admitted` and Parquet files that no commit names must prove; a
second door joins and leaves; an archive task freezes after reading, and is woken after another has taken over. At last
one more is frozen and woken with the position check switched off: then the balance must not be even, or it proves
nothing. The last line is one JSON object; the exit code says whether all is well. The servers are started
(`tests.servers`) unless they are given.
"""

import argparse
import json
import sys

from tests.faults.command import stage, with_servers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5, help="of the door and of the archive task, that must hit")
    parser.add_argument("--packets", type=int, default=200_000, help="at least so many")
    parser.add_argument("--rate", type=float, default=2000, help="packets a second")
    options = parser.parse_args()
    with_servers(__spec__.name)
    with stage() as (folder, say):
        from tests.faults import kills
        from tests.faults.pipeline import people_make

        people_make()
        report = kills.run(folder, kills=options.kills, packets=options.packets, rate=options.rate, say=say)
    print(json.dumps(report.figures()))
    return 0 if report.is_well(options.kills) else 1


if __name__ == "__main__":
    sys.exit(main())
