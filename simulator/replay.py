"""Recorded series as packets, and a fingerprint by which a series and what arrived of it can be compared.

python -m simulator.replay FILE            prints how many values a file holds, and their fingerprint
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ingestion.vitals import NUMBERS

TIME_NAMES = ("time", "timestamp", "ts", "datetime", "date_time", "measured_at", "date")
PERSON_NAMES = ("person", "user", "user_id", "id", "subject", "participant", "device_id")
OTHER_NAMES = {
    "hr": "heart_rate",
    "bpm": "heart_rate",
    "pulse": "heart_rate",
    "rr": "respiratory_rate",
    "temp": "temperature",
}


class Unreadable(Exception):
    """The file is not a recorded series; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Series:
    """Rows with `time` (int64 microseconds since 1970, UTC), `person` (string) and float64 vitals, sorted by time."""

    table: pa.Table
    vitals: tuple[str, ...]


def read(path: Path, names: Mapping[str, str] | None = None, person: str | None = None) -> Series:
    """Read a CSV or Parquet file. `names` maps "time", "person" or a vital to the file's own column.

    Times without a zone are taken as UTC. Only whole rows with at least one value are kept; `person` keeps one person.
    """
    load = pyarrow.parquet.read_table if path.suffix == ".parquet" else pyarrow.csv.read_csv
    try:
        raw = load(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise Unreadable(f"{path}: {error}") from error
    found = {_guess(column): column for column in raw.column_names} | dict(names or {})
    if "time" not in found:
        raise Unreadable(f"{path} has no column of times: name it with --columns time=COLUMN")
    vitals = tuple(v for v in NUMBERS if v in found)
    if not vitals:
        raise Unreadable(f"{path} has no column of a vital: name one, for example --columns heart_rate=COLUMN")
    columns = {
        "time": _microseconds(raw[found["time"]]),
        "person": raw[found["person"]].cast(pa.string()) if "person" in found else pa.repeat("1", raw.num_rows),
        **{v: raw[found[v]].cast(pa.float64()) for v in vitals},
    }
    table = pa.table(columns)
    measured = pc.is_valid(table[vitals[0]])
    for vital in vitals[1:]:
        measured = pc.or_(measured, pc.is_valid(table[vital]))
    table = table.filter(measured)
    if person is not None:
        table = table.filter(pc.equal(table["person"], person))
    return Series(table.sort_by([("time", "ascending"), ("person", "ascending")]), vitals)


def packets(series: Series) -> Iterator[tuple[float, str, dict[str, float]]]:
    """(seconds since 1970, device id, values) of every row; each person is the device `replay_<person>`."""
    columns = [series.table[v].to_pylist() for v in series.vitals]
    for at, person, *values in zip(
        series.table["time"].to_pylist(), series.table["person"].to_pylist(), *columns, strict=True
    ):
        yield at / 1e6, f"replay_{person}", {v: x for v, x in zip(series.vitals, values, strict=True) if x is not None}


def fingerprint(table: pa.Table, vitals: Sequence[str], time: str = "time") -> tuple[int, str]:
    """How many values, and a hash over all (time in microseconds, vital, value), whatever their order.

    Two tables have the same fingerprint if and only if (but for chance of 1 in 2^128) each value is in both as often.
    """
    count, total = 0, 0
    for number, vital in enumerate(NUMBERS):
        if vital not in vitals:
            continue
        column = table[vital].combine_chunks()
        valid = np.asarray(column.is_valid())
        times = table[time].cast(pa.int64()).to_numpy()[valid]
        values = column.drop_null().cast(pa.float64()).to_numpy(zero_copy_only=False)
        count += len(values)
        for at, value in zip(times.tolist(), values.tolist(), strict=True):
            digest = hashlib.blake2b(f"{at}|{number}|{value!r}".encode(), digest_size=16).digest()
            total += int.from_bytes(digest)
    return count, f"{total % 2**128:032x}"


def _guess(column: str) -> str:
    name = column.strip().lower().replace(" ", "_")
    if name in TIME_NAMES:
        return "time"
    if name in PERSON_NAMES:
        return "person"
    return OTHER_NAMES.get(name, name)


def _microseconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(times.type) or pa.types.is_large_string(times.type):
        times = times.cast(pa.timestamp("us"))
    return times.cast(pa.timestamp("us", getattr(times.type, "tz", None))).cast(pa.int64())


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        recorded = read(Path(argument))
        values, mark = fingerprint(recorded.table, recorded.vitals)
        print(f"{argument}: {recorded.table.num_rows} rows, {values} values, fingerprint {mark}")
