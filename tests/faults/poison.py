"""`python -m tests.faults.poison`: whatever comes instead of a reading is refused with its reason and harms no other.

On a real Apache Kafka, PostgreSQL and Redis: good packets alone, then as many with poison of every kind between them.
Every packet must get what it deserves; of a person who has withdrawn nothing may be found but in `vitals.readings`;
and no good packet may take more than a second longer than without poison. The last line is one JSON object; the exit
code says whether all is well. The servers are started (`tests.servers`) unless they are given.
"""

import argparse
import json
import sys

from tests.faults.command import stage, with_servers

LONGER_AT_MOST_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bad", type=int, default=5000, help="packets of poison")
    parser.add_argument("--good", type=int, default=20_000, help="good packets, once alone and once with the poison")
    parser.add_argument("--rate", type=float, default=2000, help="good packets a second")
    options = parser.parse_args()
    with_servers(__spec__.name)
    with stage() as (folder, say):
        from tests.faults import poisoning
        from tests.faults.pipeline import people_make

        people_make()
        report = poisoning.run(folder, bad=options.bad, good=options.good, rate=options.rate, say=say)
    print(json.dumps(report.figures()))
    in_time = report.delay.longest - report.without.longest <= LONGER_AT_MOST_S
    return 0 if report.is_well and in_time else 1


if __name__ == "__main__":
    sys.exit(main())
