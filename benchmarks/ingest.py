"""Readings per second and per CPU-second from Kafka to Parquet: Wellrange against QuixStreams' Parquet file sink.

Both read the same messages from the same broker, one after the other. Wellrange's are sorted out by the real door (a
transaction per batch; of a hundred packets one more is poison and is refused) and written by the real archiver, both
at work at the same time; the CPU of both processes counts. Rows are counted in the Parquet files.

python benchmarks/ingest.py           3 million messages
python benchmarks/ingest.py --quick   600,000, in less than 50 s
"""

import argparse
import contextlib
import gc
import json
import multiprocessing as mp
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import duckdb
import numpy as np
import psutil
import pyarrow.parquet as pq
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from packets import POISON_EVERY, poison, watches
from stack import ROOT, broker, folder, people, said, settings

from ingestion import kafka, lake
from ingestion.archiver import archive
from ingestion.door import Arrivals, by_partition, sort_out
from ingestion.reading import decode

PEOPLE = 1000
PARTITIONS = 6
PEER_TOPIC = "peer.readings"
PEER = ROOT / ".venv-peer"
PEER_AT_LEAST = 40_000  # rows per second; below it the machine was busy with something else
WITHIN_S = 600


@dataclass(frozen=True, slots=True)
class Run:
    """`rows` are those in the Parquet files; `cpu_s` by process."""

    rows: int
    seconds: float
    cpu_s: dict[str, float]

    @property
    def per_s(self) -> float:
        return self.rows / self.seconds

    @property
    def per_cpu_s(self) -> float:
        return self.rows / sum(self.cpu_s.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="in less than 50 s")
    parser.add_argument("--messages", type=int, help="how many, instead of 3,000,000 (600,000 with --quick)")
    options = parser.parse_args()
    count = options.messages or (600_000 if options.quick else 3_000_000)
    python = peer_environment()
    with contextlib.ExitStack() as stack:
        made = folder(stack)
        settings(made)
        address, name = broker(made, stack)
        os.environ |= {"KAFKA_BOOTSTRAP_SERVERS": address, "LAKE_URL": str(made / "lake")}
        said(f"{name} is up")
        people(PEOPLE)
        said("the database and its people are made")
        packets = watches(count, PEOPLE, datetime.now(UTC))
        refusals = send(address, packets)
        said(f"{count:,} messages are in each topic, and {refusals:,} poison ones in ours")
        peer = run_peer(python, address, made / "peer", count)
        said(f"QuixStreams: {peer.per_s:,.0f} rows/s, {peer.per_cpu_s:,.0f} per CPU-second")
        ours = run_ours(address, made / "lake", count, refusals)
        said(f"Wellrange:   {ours.per_s:,.0f} rows/s, {ours.per_cpu_s:,.0f} per CPU-second")
        found = figures(ours, peer) | limits([value for _, value in packets[:200_000]], made)
    if found["void"]:
        said(f"VOID: QuixStreams stayed below {PEER_AT_LEAST:,} rows/s, so this machine was busy or is too slow.")
    print(json.dumps({"broker": name, "messages": count, **found}))


def peer_environment() -> Path:
    """Python with QuixStreams; made on first use (a few seconds with uv, not part of the run)."""
    python = PEER / "bin" / "python"
    stamp = PEER / ".installed"
    wanted = ROOT / "requirements" / "peer.txt"
    if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
        begin = time.monotonic()
        uv = str(ROOT / ".venv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", str(PEER)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(wanted)]
        subprocess.run(install, check=True)
        stamp.write_bytes(wanted.read_bytes())
        said(f"made {PEER.name} in {time.monotonic() - begin:.0f} s: only the first run needs to")
    return python


def send(address: str, packets: Sequence[tuple[bytes, bytes]]) -> int:
    """Send the same messages to both topics, and poison among ours; the number of poison packets."""
    kafka.topics_create(address, readings=PARTITIONS, admitted=PARTITIONS)
    admin = AdminClient({"bootstrap.servers": address})
    for made in admin.create_topics([NewTopic(PEER_TOPIC, PARTITIONS, 1)]).values():
        made.result()
    producer = Producer(
        {"bootstrap.servers": address, "linger.ms": 20, "queue.buffering.max.messages": 10_000_000, "acks": "1"}
    )
    bad = poison(datetime.now(UTC))
    for number, (key, value) in enumerate(packets):
        producer.produce(PEER_TOPIC, value, key)
        producer.produce(kafka.READINGS, value, key)
        if number % POISON_EVERY == 0:
            producer.produce(kafka.READINGS, next(bad), key)
        if number % 10_000 == 0:
            producer.poll(0)
    if producer.flush(WITHIN_S):
        raise SystemExit("The broker did not take all messages.")
    return len(range(0, len(packets), POISON_EVERY))


def run_peer(python: Path, address: str, out: Path, count: int) -> Run:
    script = Path(__file__).with_name("peer_quixstreams.py")
    command = [str(script), address, PEER_TOPIC, out.name, str(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([str(python), "-W", "ignore", *command], cwd=out.parent, **pipes) as process:
        if process.stdout is None or process.stdin is None or process.stdout.readline() != b"ready\n":
            raise SystemExit("QuixStreams did not start.")
        before, begin = _cpu(process.pid), time.monotonic()
        process.stdin.write(b"go\n")
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    rows = sum(pq.read_metadata(file).num_rows for file in out.rglob("*.parquet"))
    if process.returncode or rows != count:
        raise SystemExit(f"QuixStreams ended with {process.returncode} and {rows:,} of {count:,} rows.")
    return Run(rows, seconds, {"peer": used.ru_utime + used.ru_stime - before})


def run_ours(address: str, folder: Path, count: int, refusals: int) -> Run:
    """Door and archiver at the same time, until every message is in the lake or among the refused."""
    context = mp.get_context("spawn")
    ready, go, stop = {"door": context.Event(), "archiver": context.Event()}, context.Event(), context.Event()
    parts = {
        "door": context.Process(target=_door, args=(address, ready["door"], go, stop), daemon=True),
        "archiver": context.Process(
            target=_archiver, args=(address, str(folder), count, ready["archiver"], go, stop), daemon=True
        ),
    }
    for name, part in parts.items():
        part.start()
        if not ready[name].wait(60):
            raise SystemExit(f"The {name} did not start.")
    before = {name: _cpu(part.pid) for name, part in parts.items()}
    begin = time.monotonic()
    go.set()
    if not _wait(stop, list(parts.values())):
        raise SystemExit("Door or archiver ended before all was in the lake.")
    seconds = time.monotonic() - begin
    cpu = {name: _cpu(part.pid) - before[name] for name, part in parts.items()}
    for part in parts.values():
        part.join(30)
        part.kill()
    return Run(_counted(address, folder, count, refusals), seconds, cpu)


def _wait(stop: Event, parts: list[mp.process.BaseProcess]) -> bool:
    until = time.monotonic() + WITHIN_S
    while not stop.wait(0.2):
        if time.monotonic() > until or not all(part.is_alive() for part in parts):
            return False
    return True


def _door(address: str, ready: Event, go: Event, stop: Event) -> None:
    """What `manage.py run_door` does, from the word on."""
    import django

    django.setup()
    from django.conf import settings

    from ingestion.doorway import Doorway
    from portal.pipeline.directory import LiveDirectory

    known = LiveDirectory()
    known(datetime.now(UTC))
    ready.set()
    go.wait()
    Doorway(
        address,
        name="benchmark",
        transactions=settings.KAFKA_TRANSACTIONS,
        admitted_partitions=PARTITIONS,
        known=known,
        progress=lambda passed: None,
    ).run(stop.is_set)


def _archiver(address: str, folder: str, count: int, ready: Event, go: Event, done: Event) -> None:
    """The archive task of all partitions, again and again, until `count` rows are written."""
    ready.set()
    go.wait()
    archived = 0
    while archived < count:
        archived += archive(folder, address, range(PARTITIONS)).rows
    done.set()
    time.sleep(5)  # our CPU time is read meanwhile


def _counted(address: str, folder: Path, count: int, refusals: int) -> int:
    """The rows in the files of the table; every message must be there exactly once, or among the refused."""
    files = lake.open_readings(str(folder)).file_uris()
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    with duckdb.connect() as database:
        found = database.execute(
            "SELECT count(DISTINCT source_offset * 100 + source_partition) FROM read_parquet(?)", [files]
        ).fetchone()
    refused = len(list(_refused(address)))
    if (rows, found, refused) != (count, (count,), refusals):
        raise SystemExit(f"{count:,} messages: {rows:,} rows, {found} different, {refused:,} of {refusals:,} refused.")
    return rows


def _refused(address: str) -> list[bytes]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(kafka.consumer_config(address, "benchmark"))
    consumer.assign([TopicPartition(kafka.REFUSED, p, 0) for p in range(2)])
    values, unread = [], 2
    while unread:
        for message in consumer.consume(10_000, 5):
            if message.error() is None:
                values.append(message.value())
            else:
                unread -= 1
    consumer.close()
    return values


def figures(ours: Run, peer: Run) -> dict[str, object]:
    return {
        "readings_per_s": round(ours.per_s),
        "peer_readings_per_s": round(peer.per_s),
        "ratio": round(ours.per_s / peer.per_s, 2),
        "readings_per_cpu_s": round(ours.per_cpu_s),
        "peer_readings_per_cpu_s": round(peer.per_cpu_s),
        "cpu_ratio": round(ours.per_cpu_s / peer.per_cpu_s, 2),
        **{f"{name}_us_per_reading": round(cpu / ours.rows * 1e6, 2) for name, cpu in ours.cpu_s.items()},
        "seconds": round(ours.seconds, 2),
        "void": peer.per_s < PEER_AT_LEAST,
    }


def limits(values: list[bytes], made: Path) -> dict[str, int]:
    """What one core could do at most, in rows per CPU-second: decoding alone, deciding alone, writing alone."""
    from portal.pipeline.directory import load

    count, known, batch = len(values), load(), 10_000
    gc.disable()  # as the door does
    decoding = _cpu_of(lambda: [decode(values[i : i + batch]) for i in range(0, count, batch)])
    messages: list[bytes] = []

    def decide() -> None:
        for begin in range(0, count, batch):
            some = values[begin : begin + batch]
            offsets = np.arange(begin, begin + len(some))
            now = np.full(len(some), time.time_ns() // 1000)
            nobody = [None] * len(some)
            arrivals = Arrivals("topic", some, nobody, nobody, np.zeros_like(offsets), offsets, now)
            for _, readings in by_partition(sort_out(arrivals, known).admitted, PARTITIONS):
                messages.extend(kafka.to_messages(readings))

    deciding = _cpu_of(decide)
    rows = kafka.from_messages(messages)
    table = lake.open_readings(str(made / "limit"))
    writing = _cpu_of(lambda: lake.append(table, rows, topic_id="topic", begin={0: 0}, end={0: count}))
    return {
        "decode_only_per_cpu_s": round(count / decoding),
        "decide_only_per_cpu_s": round(count / deciding),
        "write_only_per_cpu_s": round(count / writing),
    }


def _cpu_of(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _cpu(pid: int | None) -> float:
    """Seconds of CPU that a process has used, all its threads."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    main()
