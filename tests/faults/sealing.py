"""`python -m tests.faults.sealing [--s3]`: whatever happens to who writes and seals the lake, each row is in it once.

One process appends rows as an archive task does, two seal and tidy. The first and one of the others are killed until so
many kills of each have hit, that is, ended it in the middle of an append or a rewrite; the third is frozen and woken.
With --s3 the lake is on S3 over HTTP, behind a proxy that answers 30 % of requests with 5xx, lets 10 % hang and breaks
5 % in the middle of an upload, until all have hit; without, on a folder. For a while the store takes no more bytes. The
last line is one JSON object; the exit code says whether all is well.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.faults import seal_rounds
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, s3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each process, that must hit")
    parser.add_argument("--freeze-s", type=float, default=10, help="how long a process is frozen")
    parser.add_argument("--s3", action="store_true", help="on S3 over HTTP")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellrange-faults-")))
        endpoint = os.environ.get("TEST_S3_ENDPOINT") or s3(folder, stack) if options.s3 else None
        report = seal_rounds.run(folder, kills=options.kills, freeze_s=options.freeze_s, s3=endpoint, say=print)
    print(json.dumps(report.figures()))
    return 0 if report.is_well(options.kills) else 1


def s3_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "LAKE_REQUEST_S": "2",
    }


if __name__ == "__main__":
    sys.exit(main())
