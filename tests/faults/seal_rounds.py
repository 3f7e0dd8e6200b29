"""The rounds of `tests.faults.sealing`: kill, freeze, fill the store up, and at last count every row."""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow.parquet as pq

from ingestion.lake import open_readings, position, readings_url
from ingestion.lake.seal import due, seal
from ingestion.lake.storage import to_read
from ingestion.lake.tables import READINGS, newest
from ingestion.vitals import NUMBERS
from tests.analytics.readings import ALICE
from tests.faults.seal_worker import AT_ONCE, NOW, rows_of, until, work
from tests.ingestion.lakes import ORGANISATION, recount, summaries
from tests.ingestion.s3_proxy import Proxy, s3_proxy
from tests.servers.forked import Forked
from tests.stores import client

ROWS = 10_000_000  # the end of the work is what `run` says
FULL_S = 5
FULL_BYTES = 4096  # no file becomes larger when the store is full


@dataclass(frozen=True, slots=True)
class Report:
    """Kills by whom they hit, and what a recount of the files gave."""

    append_kills: int
    append_hit: int
    seal_kills: int
    seal_hit: int
    frozen: int
    failures_of_the_store: int
    refused_when_full: int
    rows: int
    in_lake: int
    lost: int
    doubled: int
    wrong: int
    out_of_order: int
    unreadable: int
    summaries_wrong: int

    def figures(self) -> dict[str, int]:
        return asdict(self)

    def is_well(self, kills: int) -> bool:
        bad = self.lost, self.doubled, self.wrong, self.out_of_order, self.unreadable, self.summaries_wrong
        return not any(bad) and self.rows == self.in_lake and min(self.append_hit, self.seal_hit) >= kills


class Worker:
    """A process of `seal_worker`, started again whenever it has ended; `limit` is the bytes that a file may have."""

    def __init__(self, role: str, lake: str, env: dict[str, str], limit: int | None = None) -> None:
        self._work = role, lake, ROWS
        self._env, self._limit = env, limit
        self._busy, self.said = threading.Event(), Counter[str]()
        self.kills = self.hit = 0
        self.start()

    def start(self) -> None:
        self._busy.clear()
        hears, says = multiprocessing.Pipe(duplex=False)
        self.process = Forked(work, (*self._work, says, self._limit), self._env)
        says.close()
        self._listener = threading.Thread(target=self._listen, args=(hears,), daemon=True)
        self._listener.start()

    def _listen(self, hears: Connection) -> None:
        with contextlib.suppress(EOFError):
            while True:
                self.said[word := hears.recv()] += 1
                (self._busy.set if word == "begin" else self._busy.clear)()

    def kill(self, after: float) -> None:
        """Kill it so long after it has next begun something, and start it again."""
        if not self._busy.wait(60):
            raise TimeoutError("it has nothing to do")
        time.sleep(after)
        self.end()
        self.kills += 1
        self.hit += self._busy.is_set()
        self.start()

    def freeze(self, seconds: float) -> None:
        self._busy.wait(60)
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._listener.join()


def run(
    folder: Path, *, kills: int, freeze_s: float, s3: str | None, say: Callable[[str], object] = lambda _: None
) -> Report:
    """All rounds on a new lake; `s3` is the endpoint of a server with the keys of `tests.servers.s3`."""
    with _store(folder, s3) as (lake, env, proxy):
        open_readings(lake)
        seals = Worker("seal", lake, env)
        appends, frozen = Worker("append", lake, env), Worker("seal", lake, env)
        try:
            if proxy:
                proxy.fail_often(error=0.30, hang=0.10, reset=0.05)
            dice = random.Random(1)
            while min(appends.hit, seals.hit) < kills:
                for worker in (appends, seals):
                    if worker.hit < kills:
                        worker.kill(dice.uniform(0, 0.15))
                say(f"{appends.hit} of {appends.kills} appends, {seals.hit} of {seals.kills} sealings hit")
            failures = sum(proxy.failed.values()) if proxy else 0
            if proxy:
                proxy.pass_on()
            frozen.freeze(freeze_s)
            refused = _fill_up(lake, env, proxy, [appends, seals, frozen])
            say("the store was full")
        finally:
            for worker in (appends, seals, frozen):
                worker.end()
        if proxy:
            proxy.pass_on()
        rows = (position(open_readings(lake), "t", 0) or 0) + AT_ONCE
        until("append", lake, rows)
        for organisation, day in due(lake, now=NOW, wait=False):
            seal(lake, organisation, day, now=NOW)
        return Report(
            append_kills=appends.kills,
            append_hit=appends.hit,
            seal_kills=seals.kills,
            seal_hit=seals.hit,
            frozen=1,
            failures_of_the_store=failures,
            refused_when_full=refused,
            **count(lake, rows),
        )


@contextlib.contextmanager
def _store(folder: Path, s3: str | None) -> Iterator[tuple[str, dict[str, str], Proxy | None]]:
    if s3 is None:
        yield str(folder / "lake"), dict(os.environ), None
        return
    from tests.faults.sealing import s3_environment

    bucket = f"faults-{uuid.uuid4().hex[:12]}"
    client(s3).create_bucket(Bucket=bucket)
    with s3_proxy(s3, hang_s=1) as proxy:
        before = dict(os.environ)
        os.environ |= s3_environment(proxy.endpoint)
        try:
            yield f"s3://{bucket}/hospital", dict(os.environ), proxy
        finally:
            for name in s3_environment(""):
                os.environ.pop(name)
            os.environ |= before


def _fill_up(lake: str, env: dict[str, str], proxy: Proxy | None, workers: list[Worker]) -> int:
    """For FULL_S the store takes nothing; how often it said so. On a folder new processes may write 4 KiB a file."""
    if proxy is None:
        for worker in workers:
            worker.end()
        said = Counter[str]()
        for role in ("append", "seal"):
            worker = Worker(role, lake, env, limit=FULL_BYTES)
            time.sleep(FULL_S)
            worker.end()
            said += worker.said
        return sum(count for word, count in said.items() if word.startswith("failed"))
    before = proxy.failed["507"]
    proxy.full()
    time.sleep(FULL_S)
    refused = proxy.failed["507"] - before
    proxy.pass_on()
    return refused


def count(lake: str, rows: int) -> dict[str, int]:
    """What the files that the table names hold, against the rows that were to be written."""
    store, found, unreadable = to_read(readings_url(lake)), [], 0
    names = ["source_offset", "device_id", "measured_at", "record_id", "heart_rate"]
    out_of_order = 0
    for file in newest(lake, READINGS).files:
        try:
            of_file = pq.read_table(file.path, filesystem=store, columns=names, partitioning=None).to_pylist()
        except Exception:
            unreadable += 1
            continue
        times = [row["measured_at"] for row in of_file]
        out_of_order += sum(a > b for a, b in pairwise(times))
        last: dict[str, int] = {}
        for row in of_file:
            out_of_order += row["source_offset"] < last.get(row["device_id"], -1)
            last[row["device_id"]] = row["source_offset"]
        found += of_file
    truth = rows_of(0, rows).to_pylist()
    times_found = Counter(row["source_offset"] for row in found)
    wrong = sum(any(row[n] != truth[row["source_offset"]][n] for n in names) for row in found)
    expected, kept = recount(truth), summaries(lake, ALICE)
    assert "heart_rate" in NUMBERS
    assert {row["organisation"] for row in truth} == {ORGANISATION}
    return {
        "rows": rows,
        "in_lake": len(found),
        "lost": sum(offset not in times_found for offset in range(rows)),
        "doubled": sum(n > 1 for n in times_found.values()),
        "wrong": wrong,
        "out_of_order": out_of_order,
        "unreadable": unreadable,
        "summaries_wrong": sum(expected.get(q) != kept.get(q) for q in expected.keys() | kept.keys()),
    }
