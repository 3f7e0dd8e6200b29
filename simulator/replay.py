"""Recorded series as packets, and a fingerprint by which a series and what arrived of it can be compared.

python -m simulator.replay FILE --fingerprint    how many values a series holds, and their fingerprint
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ingestion.reading import ARROW_TYPES

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
    """Rows with `time` (int64 microseconds since 1970, UTC), `person` (string) and vitals, in order of time.

    `left_out` counts the rows of the file that say nothing: no time, person or value, or the same as another.
    """

    table: pa.Table
    vitals: tuple[str, ...]
    left_out: int


def read(path: Path, names: Mapping[str, str] | None = None, person: str | None = None) -> Series:
    """Read a CSV or Parquet file. `names` maps "time", "person" or a vital to the file's own column.

    Times without a zone are taken as UTC. NaN is no value. `person` keeps one person. Raises Unreadable.
    """
    raw = _load(path)
    found = _columns(path, raw.column_names, names or {})
    vitals = tuple(v for v in ARROW_TYPES if v in found)
    try:
        columns = {
            "time": _microseconds(raw[found["time"]]),
            "person": raw[found["person"]].cast(pa.string()) if "person" in found else pa.repeat("1", raw.num_rows),
            **{v: _measured(raw[found[v]], ARROW_TYPES[v]) for v in vitals},
        }
    except pa.ArrowException as error:
        raise Unreadable(f"{path}: {error}") from error
    table = pa.table(columns)
    if person is not None:
        table = table.filter(pc.equal(table["person"], person))
    rows = table.num_rows
    measured = pc.is_valid(table[vitals[0]])
    for vital in vitals[1:]:
        measured = pc.or_(measured, pc.is_valid(table[vital]))
    known = pc.and_(pc.is_valid(table["time"]), pc.is_valid(table["person"]))
    table = table.filter(pc.and_(measured, known))
    table = table.group_by(table.column_names).aggregate([])  # equal rows are one packet: the lake keeps it once
    if not table.num_rows:
        raise Unreadable(f"{path} holds no reading{f' of person {person}' if person is not None else ''}.")
    return Series(table.sort_by([(name, "ascending") for name in columns]), vitals, rows - table.num_rows)


def packets(series: Series, device: str | None = None) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """(seconds since 1970, device id, values) of every row; each person is the device `replay_<person>`.

    Raises Unreadable if one `device` is to send the series of several persons.
    """
    if device is not None and pc.count_distinct(series.table["person"], mode="all").as_py() > 1:
        raise Unreadable("One device sends one person's series: choose the person with --person.")
    return _packets(series, device)


def _packets(series: Series, device: str | None) -> Iterator[tuple[float, str, dict[str, Any]]]:
    columns = [series.table[name].to_pylist() for name in ("time", "person", *series.vitals)]
    for at, person, *values in zip(*columns, strict=True):
        content = {v: x for v, x in zip(series.vitals, values, strict=True) if x is not None}
        yield at / 1e6, device or f"replay_{person}", content


def fingerprint(rows: pa.Table) -> tuple[int, str]:
    """How many values, and a hash over all (time in microseconds UTC, vital, value), whatever their order.

    `rows` has `time` or, as in the lake, `measured_at`, and any vitals. Two tables have the same fingerprint if and
    only if (but for chance of 1 in 2^128) each value is in both as often.
    """
    count, total = 0, 0
    instants = rows["measured_at" if "measured_at" in rows.column_names else "time"]
    if pa.types.is_timestamp(instants.type):
        instants = instants.cast(pa.timestamp("us", instants.type.tz)).cast(pa.int64())
    for vital, kind in ARROW_TYPES.items():
        if vital not in rows.column_names:
            continue
        valid = pc.is_valid(rows[vital])
        times = instants.filter(valid).to_pylist()
        values = rows[vital].filter(valid).cast(kind).to_pylist()
        count += len(values)
        for at, value in zip(times, values, strict=True):
            digest = hashlib.blake2b(f"{at}|{vital}|{value!r}".encode(), digest_size=16).digest()
            total += int.from_bytes(digest)
    return count, f"{total % 2**128:032x}"


def _load(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pyarrow.parquet.read_table(path)
        return pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True))
    except (OSError, pa.ArrowException) as error:
        raise Unreadable(f"{path} cannot be read: {error}") from error


def _columns(path: Path, present: list[str], names: Mapping[str, str]) -> dict[str, str]:
    """The file's own column of the time, the person and each vital, by our name."""
    if unknown := set(names) - {"time", "person", *ARROW_TYPES}:
        raise Unreadable(
            f"--columns does not know {', '.join(sorted(unknown))}: write time, person, or a vital's name."
        )
    if absent := set(names.values()) - set(present):
        raise Unreadable(f"{path} has no column {', '.join(sorted(absent))}; it has {', '.join(present)}.")
    found = {_guess(column): column for column in reversed(present)} | dict(names)
    if "time" not in found:
        raise Unreadable(f"{path} has no column of times: name it with --columns time=COLUMN.")
    if not found.keys() & ARROW_TYPES.keys():
        raise Unreadable(f"{path} has no column of a vital: name one, for example --columns heart_rate=COLUMN.")
    return found


def _guess(column: str) -> str:
    name = column.strip().lower().replace(" ", "_")
    if name in TIME_NAMES:
        return "time"
    if name in PERSON_NAMES:
        return "person"
    return OTHER_NAMES.get(name, name)


def _microseconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds since 1970 of dates, times or texts; finer parts of a second are cut off."""
    if pa.types.is_string(times.type) or pa.types.is_large_string(times.type):
        try:
            times = times.cast(pa.timestamp("us", "UTC"))
        except pa.ArrowInvalid:  # not all have an offset: then none may have one
            times = times.cast(pa.timestamp("us"))
    if not pa.types.is_temporal(times.type):
        raise pa.ArrowInvalid("the column of times holds no dates or times")
    zone = getattr(times.type, "tz", None)
    return times.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())


def _measured(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    values = values.cast(kind)
    return pc.if_else(pc.is_nan(values), None, values) if pa.types.is_floating(kind) else values


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m simulator.replay", description="Look at a recorded series.")
    parser.add_argument("file", type=Path, help="CSV or Parquet: time, person, any vitals")
    parser.add_argument("--fingerprint", action="store_true", help="count and hash of all (time, vital, value)")
    parser.add_argument("--person", help="of this person only")
    options = parser.parse_args(argv)
    try:
        series = read(options.file, person=options.person)
    except Unreadable as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"{series.table.num_rows} rows of {', '.join(series.vitals)}; {series.left_out} left out")
    if options.fingerprint:
        print(*fingerprint(series.table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
