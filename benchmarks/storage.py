"""What a reading costs in the sealed lake, against the JSON packet it came as, and against the packets gzip'd.

python benchmarks/storage.py [FILE]      a recorded series (CSV or Parquet, as `simulator.replay` reads it); without
                                         FILE, simulated people
python benchmarks/storage.py --quick     the same with at most 200,000 packets

The packets go the way of the path: decoded as the door decodes, received 0.2 to 2 s after they were measured, numbered
in order of arrival in six partitions, appended hour by hour, sealed day by day. The last line is JSON:
`bytes_per_reading` is what the files of the table `readings` take, `ratio` the JSON packets against it. Beside it stand
the bytes with summaries and the table's log, and what the day would take without sealing.
"""

import argparse
import json
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ingestion.door import partition_of
from ingestion.lake import INSTANT, READING_SCHEMA, append, open_readings, position
from ingestion.lake.seal import due, seal
from ingestion.lake.tables import READINGS, SUMMARIES, newest
from ingestion.lake.tidy import tidy
from ingestion.reading import decode
from simulator.faults import encode
from simulator.people import Kit, Person, ward
from simulator.replay import packets, read

PARTITIONS = 6
AT_ONCE = 200_000
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="at most 200,000 packets")
    options = parser.parse_args()
    arriving = recorded(options.file) if options.file else simulated(200 if not options.quick else 40)
    with tempfile.TemporaryDirectory(prefix="wellrange-benchmark-") as folder:
        measure(Path(folder), islice(arriving, AT_ONCE if options.quick else None))


def recorded(path: Path) -> Iterator[tuple[str, bytes]]:
    """(device, packet) in order of time."""
    for at, device, content in packets(read(path)):
        yield device, encode(content, device, at)


def simulated(people: int) -> Iterator[tuple[str, bytes]]:
    start = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    everybody = [Person(1, number) for number in range(people)]
    for packet in ward(everybody, start, 86_400.0, Kit()):
        yield packet.device_id, encode(packet.content, packet.device_id, packet.at)


def measure(folder: Path, arriving: Iterable[tuple[str, bytes]]) -> None:
    lake = str(folder / "lake")
    rng = np.random.default_rng(1)
    subjects: dict[str, str] = {}
    offsets = np.zeros(PARTITIONS, np.int64)
    zipper, zipped = zlib.compressobj(6, wbits=31), 0  # 31: gzip
    count = plain = 0
    iterator = iter(arriving)
    while batch := list(islice(iterator, AT_ONCE)):
        values = [value for _, value in batch]
        count += len(values)
        plain += sum(map(len, values))
        zipped += len(zipper.compress(b"\n".join(values) + b"\n"))
        for device, _ in batch:
            if device not in subjects:
                subjects[device] = rng.bytes(16).hex()
        rows = admitted(values, subjects, offsets, rng)
        hours = np.unique(rows["measured_at"].cast(pa.int64()).to_numpy() // 3_600_000_000, return_inverse=True)[1]
        pieces = min(int(hours.max()) + 1, 24)
        for piece in np.array_split(np.argsort(hours, kind="stable"), pieces):
            table = open_readings(lake)
            begin = {0: position(table, "packets", 0) or 0}
            append(table, rows.take(pa.array(piece)), topic_id="packets", begin=begin, end={0: begin[0] + len(piece)})
        print(f"{count:,} packets", file=sys.stderr)
    zipped += len(zipper.flush())
    unsealed = size(lake, READINGS)
    for organisation, day in due(lake, now=FAR, wait=False):
        seal(lake, organisation, day, now=datetime.now(UTC))
    tidy(lake, now=FAR)  # months of summaries become one file each
    sealed = size(lake, READINGS)
    readings = sum(f.rows for f in newest(lake, READINGS).files)
    log = sum(f.stat().st_size for f in Path(lake).rglob("_delta_log/*") if f.is_file())
    days = len(newest(lake, READINGS).by_partition)
    print(f"{count:,} packets, {readings:,} readings: {days} days of {len(subjects)} devices")
    figures = {
        "readings": readings,
        "bytes_per_packet": round(plain / count, 1),
        "bytes_per_packet_gzip": round(zipped / count, 2),
        "bytes_per_reading_before_sealing": round(unsealed / count, 2),
        "bytes_per_reading": round(sealed / readings, 3),
        "bytes_per_reading_with_summaries": round((sealed + size(lake, SUMMARIES)) / readings, 3),
        "log_bytes": log,
        "ratio": round(plain / count / (sealed / readings), 1),
        "ratio_gzip": round(zipped / count / (sealed / readings), 1),
    }
    print(json.dumps(figures))


def admitted(values: list[bytes], subjects: dict[str, str], offsets: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """Packets as the door admits them; `offsets` are those of each partition, and move on."""
    decoded = decode(values)
    count = len(decoded.rows)
    people = [subjects[device] for device in decoded.device_id]
    partition = np.array([partition_of(s, PARTITIONS) for s in people])
    offset = np.empty(count, np.int64)
    for p in range(PARTITIONS):
        mine = np.flatnonzero(partition == p)
        offset[mine] = offsets[p] + np.arange(len(mine))
        offsets[p] += len(mine)
    received = decoded.measured_at + (rng.uniform(200, 2000, count)).astype(np.int64) * 1000
    columns = {
        "organisation": pa.repeat(pa.scalar("0" * 8), count),
        "subject": pa.array(people),
        "measured_at": pa.array(decoded.measured_at).cast(INSTANT),
        "offset_minutes": pa.array(decoded.offset_minutes),
        "received_at": pa.array(received).cast(INSTANT),
        "device_id": pa.array(decoded.device_id),
        "record_id": pa.array(decoded.record_id),
        "dropped": pa.array(decoded.dropped, pa.string()),
        "consent_sequence": pa.array(np.ones(count, np.int64)),
        "source_topic": pa.repeat(pa.scalar("Yk3tXcMLRxu1a4yYJzcW5g"), count),
        "source_partition": pa.array(partition, pa.int32()),
        "source_offset": pa.array(offset),
        **decoded.vitals,
    }
    return pa.table([columns[f.name] for f in READING_SCHEMA], schema=READING_SCHEMA)


def size(lake: str, kind: object) -> int:
    return sum(f.size for f in newest(lake, kind).files)


if __name__ == "__main__":
    main()
