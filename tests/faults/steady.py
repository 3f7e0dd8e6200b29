"""`python -m tests.faults.steady --minutes 30`: memory of door and archiver over time, and how soon a reading is kept.

The door and the lake's worker run on a real Apache Kafka at a steady rate, with ten times as many archive tasks as in
production, and the day tidied after as many of them as there. After a first third, in which libraries and
buffers fill, the memory of both (resident, with the worker's children) must be flat: `door_mb_per_hour` and
`archiver_mb_per_hour` are the Theil-Sen slopes of the rest. A reading is in the lake when the commit that names it is
written; `kept_p99_s` is from sending it until then. Every packet is counted as well. The last line is one JSON object;
the exit code says whether memory grows by less than LIMIT of what is there, p99 is below 20 s and nothing is lost.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import psutil
import pyarrow.parquet as pq

from tests.faults.command import stage, with_servers

LIMIT = 0.10  # of the memory, over the time that was measured
KEPT_S = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=500, help="packets a second")
    parser.add_argument("--growth", type=float, default=LIMIT, help="of the memory, that is still called flat")
    options = parser.parse_args()
    with_servers(__spec__.name)
    with stage() as (folder, say):
        from tests.faults.pipeline import people_make

        people_make()
        figures = run(folder, minutes=options.minutes, rate=options.rate, say=say)
    print(json.dumps(figures))
    return 0 if is_well(figures, options.growth) else 1


def is_well(figures: dict[str, float], limit: float = LIMIT) -> bool:
    flat = all(figures[f"{name}_growth"] < limit for name in ("door", "archiver"))
    return flat and figures["kept_p99_s"] < KEPT_S and not (figures["lost"] or figures["doubled"])


def run(folder: Path, *, minutes: float, rate: float, say: Callable[[str], None] = print) -> dict[str, float]:
    from tests.faults.balance import balance, entries_of_refused, rows_of_lake
    from tests.faults.pipeline import Pipeline
    from tests.faults.surroundings import wait_for
    from tests.faults.traffic import Traffic, ward

    samples: list[tuple[float, float, float]] = []
    with Pipeline(folder, tidied=True) as pipeline:
        end = time.monotonic() + 60 * minutes
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1):
                door, worker = pipeline.doors["1"].process.pid, pipeline.worker.process.pid
                samples.append((time.monotonic(), _megabytes(door), _megabytes(worker)))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        traffic = Traffic(pipeline.bootstrap, takewhile(lambda _: time.monotonic() < end, ward()), rate).start()
        traffic.finish()
        over.set()
        watcher.join()
        wait_for("the doors have decided everything", pipeline.decided)
        wait_for("everything is archived", pipeline.archived)
        say("all is in the lake")
        table = pipeline.lake / "readings"
        counted = balance(
            traffic.sent, pipeline.readings_id, rows_of_lake(table), entries_of_refused(pipeline.bootstrap)
        ).figures()
        delays = np.array(list(_delays(table)))
    at, door, archiver = np.array(samples).T
    return {
        **counted,
        "minutes": round((at[-1] - at[0]) / 60, 1),
        **slope("door", at, door),
        **slope("archiver", at, archiver),
        "kept_p50_s": round(float(np.percentile(delays, 50)), 2),
        "kept_p99_s": round(float(np.percentile(delays, 99)), 2),
    }


def slope(name: str, at: np.ndarray, megabytes: np.ndarray) -> dict[str, float]:
    """The growth of the last two thirds, by the median of the slopes of all pairs (Theil 1950, Sen 1968).

    `growth` is what that makes over the time measured, as a share of the memory there.
    """
    late = at > at[0] + (at[-1] - at[0]) / 3
    at, megabytes = at[late], megabytes[late]
    few = np.linspace(0, len(at) - 1, min(len(at), 300)).astype(int)
    i, j = np.triu_indices(len(few), 1)
    per_second = float(np.median((megabytes[few][j] - megabytes[few][i]) / (at[few][j] - at[few][i])))
    held = float(np.median(megabytes))
    return {
        f"{name}_mb": round(held, 1),
        f"{name}_mb_per_hour": round(per_second * 3600, 2),
        f"{name}_growth": round(per_second * (at[-1] - at[0]) / held, 4),
    }


def _megabytes(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20


def _delays(table: Path) -> Iterator[float]:
    """Seconds from each reading of today's traffic to the file of the commit that names it."""
    for commit in sorted((table / "_delta_log").glob("*.json")):
        kept = commit.stat().st_mtime
        for line in commit.read_text().splitlines():
            added = json.loads(line).get("add")
            if added is None or not added["dataChange"]:  # tidying writes readings again
                continue
            measured = pq.ParquetFile(table / unquote(added["path"])).read(["measured_at"])["measured_at"]
            seconds = kept - measured.cast("int64").to_numpy() / 1e6
            yield from seconds[seconds < 43_200].tolist()  # others were measured on an earlier day


if __name__ == "__main__":
    sys.exit(main())
