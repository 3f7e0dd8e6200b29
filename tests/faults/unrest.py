"""`python -m tests.faults.unrest`: doors come and go, processes freeze, the broker stops, and nothing is lost.

On a real Apache Kafka of its own, PostgreSQL and Redis, at a steady rate: two more doors join the first and leave
again, `--joins` times; a door is killed while the partitions are shared out anew; a door with its transaction open, and
then an archive task that has read and not appended, freeze for `--freeze-s`, while others take over, and are woken; the
broker is stopped for `--stop-s` and started again, `--broker-stops` times. Then every packet that the broker took must
be in the lake or in the refused once, and no reading may have overtaken another of its device. The last line is one
JSON object; the exit code says whether all is well.
"""

import argparse
import contextlib
import json
import os
import sys

from tests.faults.command import stage, with_servers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joins", type=int, default=20, help="how often two doors join and leave")
    parser.add_argument("--freeze-s", type=float, default=60, help="how long a door and an archive task are frozen")
    parser.add_argument("--broker-stops", type=int, default=5)
    parser.add_argument("--stop-s", type=float, default=30, help="how long the broker is away each time")
    parser.add_argument("--rate", type=float, default=500, help="packets a second")
    options = parser.parse_args()
    with_servers(__spec__.name)
    with contextlib.ExitStack() as stack:
        folder, say = stack.enter_context(stage())
        from tests.servers.kafka import Broker

        home = folder / "broker"
        home.mkdir()
        broker = Broker(home, stack)
        broker.start()
        _use(broker.address)

        from tests.faults import disturbances
        from tests.faults.pipeline import people_make

        people_make()
        report = disturbances.run(folder, broker, **vars(options), say=say)
    print(json.dumps(report.figures()))
    return 0 if report.is_well else 1


def _use(address: str) -> None:
    """Have this process and all that it starts use a broker that may be stopped, and not one that others use."""
    from django.conf import settings

    os.environ["KAFKA_BOOTSTRAP_SERVERS"] = settings.KAFKA_BOOTSTRAP_SERVERS = address


if __name__ == "__main__":
    sys.exit(main())
