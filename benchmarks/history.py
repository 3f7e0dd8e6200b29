"""How long history takes to answer, against the same questions put to DuckDB over unsorted Parquet and to PostgreSQL.

python benchmarks/history.py            100 people x 180 days x 1 minute
python benchmarks/history.py --full     1,000 people x 180 days x 1 minute, about 260 million rows
python benchmarks/history.py --quick    8 people x 180 days x 1 minute, in less than 50 s

The lake is made as the path makes it: days appended, sealed, summaries merged by month; the current day, up to noon, is
written in small batches and tidied. Questions are put to `analytics.history` in this process, each about a person and a
time drawn anew. DuckDB scans what an archiver without sealing would leave: one Parquet file per day, in order of
arrival. PostgreSQL has an index on (subject, measured_at) and, since filling it takes long, at most POSTGRES_PEOPLE
people. The last line is JSON: p50 and p95 in milliseconds, and each peer's p95 against ours.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from analytics.history import Period, Statistic, aggregate, series
from ingestion.lake import INSTANT, READING_SCHEMA, append, open_readings, position
from ingestion.lake.seal import due, seal
from ingestion.lake.tables import READINGS, newest
from ingestion.lake.tidy import tidy
from tests.servers.missing import Missing
from tests.servers.postgres import postgres

ORGANISATION = "0" * 8
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAYS = 180
POINTS = 600
POSTGRES_PEOPLE = 50
ZONES = [ZoneInfo(name) for name in ("Europe/London", "America/New_York", "Asia/Kathmandu")]
CHARTS = {"24_h": timedelta(hours=24), "7_days": timedelta(days=7), "6_months": timedelta(days=DAYS)}


@dataclass(frozen=True, slots=True)
class Scale:
    people: int
    charts: int  # of each kind
    aggregates: int
    postgres_people: int


QUICK, DEFAULT, FULL = Scale(8, 40, 100, 2), Scale(100, 100, 1000, 20), Scale(1000, 200, 1000, POSTGRES_PEOPLE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="8 people")
    size.add_argument("--full", action="store_true", help="1,000 people")
    parser.add_argument("--keep", type=Path, help="a folder to make the lake in, or to find it in again")
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL if options.full else DEFAULT
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellrange-benchmark-")))
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        people = subjects(scale.people)
        if not (folder / "lake").exists():
            make_lake(folder, people)
        rows = sum(f.rows for f in newest(str(folder / "lake"), READINGS).files)
        figures: dict[str, object] = {"rows": rows, "people": scale.people, "days": DAYS}
        figures |= ours(str(folder / "lake"), people, scale)
        figures |= with_duckdb(folder, people, scale, figures)
        figures |= with_postgres(folder, people, scale, figures, stack)
        print(json.dumps(figures))


def subjects(count: int) -> list[str]:
    rng = np.random.default_rng(1)
    return [rng.bytes(16).hex() for _ in range(count)]


def make_lake(folder: Path, people: list[str]) -> None:
    lake, plain = str(folder / "lake"), folder / "plain"
    plain.mkdir()
    today = NOW.replace(hour=0)
    for back in tqdm(range(DAYS, 0, -1), unit="day", desc="Filling the lake"):
        rows = minutes(people, today - timedelta(days=back), 1440)
        _append(lake, rows)
        pq.write_table(rows.select(["subject", "measured_at", "heart_rate", "spo2"]), plain / f"{back:03d}.parquet")
        for organisation, day in due(lake, now=NOW, wait=False):
            seal(lake, organisation, day, now=NOW)
    for hour in range(12):
        rows = minutes(people, today + timedelta(hours=hour), 60)
        _append(lake, rows)
        pq.write_table(rows.select(["subject", "measured_at", "heart_rate", "spo2"]), plain / f"today-{hour}.parquet")
        tidy(lake, now=NOW)
    tidy(lake, now=datetime.now(UTC) + timedelta(days=2))  # as it would be once the months have been quiet


def _append(lake: str, rows: pa.Table) -> None:
    table = open_readings(lake)
    begin = position(table, "benchmark", 0) or 0
    append(table, rows, topic_id="benchmark", begin={0: begin}, end={0: begin + rows.num_rows})


def minutes(people: list[str], start: datetime, count: int) -> pa.Table:
    """A reading of each person in each minute, in order of time: a rhythm of the day and noise, whole numbers."""
    rng = np.random.default_rng([2, int(start.timestamp())])
    size = count * len(people)
    minute = np.repeat(np.arange(count), len(people))
    person = np.tile(np.arange(len(people)), count)
    times = int(start.timestamp() * 1e6) + minute * 60_000_000 + person % 60 * 1_000_000
    rhythm = 10 * np.sin(2 * np.pi * (times / 1e6 % 86_400) / 86_400)
    columns = {
        "organisation": pa.repeat(pa.scalar(ORGANISATION), size),
        "subject": pa.array(people).take(pa.array(person)),
        "measured_at": pa.array(times).cast(INSTANT),
        "offset_minutes": pa.repeat(pa.scalar(0, pa.int16()), size),
        "received_at": pa.array(times + rng.integers(200, 2000, size) * 1000).cast(INSTANT),
        "device_id": pa.array([f"watch_{n}" for n in range(len(people))]).take(pa.array(person)),
        "record_id": pa.repeat(pa.scalar(""), size),
        "heart_rate": pa.array(np.rint(60 + person % 25 + rhythm + rng.normal(0, 4, size))),
        "spo2": pa.array(np.rint(np.minimum(100, 96.5 + rng.normal(0, 1, size)))),
        "consent_sequence": pa.repeat(pa.scalar(1, pa.int64()), size),
        "source_topic": pa.repeat(pa.scalar("benchmark"), size),
        "source_partition": pa.array(person % 6, pa.int32()),
        "source_offset": pa.array(minute * len(people) + person),
    }
    return pa.table([columns.get(f.name, pa.nulls(size, f.type)) for f in READING_SCHEMA], schema=READING_SCHEMA)


def questions(people: list[str], count: int, seed: int) -> Iterator[tuple[str, datetime]]:
    """(person, end of the period): half of them now, half some time in the past month."""
    rng = np.random.default_rng([3, seed])
    for _ in range(count):
        back = timedelta(minutes=int(rng.integers(0, 43_200))) if rng.random() < 0.5 else timedelta()
        yield people[rng.integers(len(people))], NOW - back


def timed(ask: Callable[..., object], asked: Iterator[tuple[object, ...]]) -> dict[str, float]:
    took = []
    for n, question in enumerate(asked):
        begun = time.perf_counter()
        ask(*question)
        if n >= 3:  # the first ones load libraries
            took.append((time.perf_counter() - begun) * 1000)
    return {"p50_ms": round(float(np.percentile(took, 50)), 1), "p95_ms": round(float(np.percentile(took, 95)), 1)}


def named(name: str, figures: dict[str, float]) -> dict[str, object]:
    return {f"{name}_{key}": value for key, value in figures.items()}


def ours(lake: str, people: list[str], scale: Scale) -> dict[str, object]:
    known = {"organisation": ORGANISATION}
    figures: dict[str, object] = {}
    for seed, (name, length) in enumerate(CHARTS.items()):

        def chart(person: str, end: datetime, length: timedelta = length) -> None:
            found = series(lake, subject=person, vitals=["heart_rate"], start=end - length, end=end, **known)
            assert found["heart_rate"].count > 500

        figures |= named(f"chart_{name}", timed(chart, questions(people, scale.charts, seed)))
    figures |= named("aggregate", timed(_ask(lake), mixed(people, scale.aggregates)))
    print(json.dumps(figures), file=sys.stderr)
    return figures


def mixed(people: list[str], count: int) -> Iterator[tuple[str, str, Statistic, Period, float | None]]:
    """Every statistic of both vitals over 1 to 90 days in three time zones."""
    rng = np.random.default_rng(4)
    asked = [s for s in Statistic if s not in (Statistic.BEST_DAY, Statistic.WORST_DAY)]
    for person, end in questions(people, count, 9):
        zone = ZONES[rng.integers(len(ZONES))]
        last = end.astimezone(zone).date()
        period = Period.of_days(last - timedelta(days=int(rng.integers(1, 90))), last, zone)
        statistic = asked[rng.integers(len(asked))]
        vital, limit = ("heart_rate", 80.0) if rng.random() < 0.5 else ("spo2", 96.0)
        yield person, vital, statistic, period, limit if statistic.startswith("days_") else None


def _ask(lake: str) -> Callable[..., object]:
    def ask(person: str, vital: str, statistic: Statistic, period: Period, limit: float | None) -> None:
        aggregate(
            lake,
            organisation=ORGANISATION,
            subject=person,
            vital=vital,
            statistic=statistic,
            period=period,
            limit=limit,
        )

    return ask


# The same chart in SQL, for both peers: at most POINTS intervals with mean and extremes.
CHART = """
SELECT floor((extract(epoch FROM measured_at) - %s) / %s) AS interval, avg(heart_rate), min(heart_rate), max(heart_rate)
FROM readings WHERE subject = %s AND measured_at >= %s AND measured_at < %s GROUP BY 1 ORDER BY 1"""


def peer(
    name: str, run: Callable[[tuple[object, ...]], object], people: list[str], charts: int, figures: dict[str, object]
) -> dict[str, object]:
    found: dict[str, object] = {}
    for seed, (chart, length) in enumerate(CHARTS.items()):

        def ask(person: str, end: datetime, length: timedelta = length) -> None:
            start = end - length
            run((start.timestamp(), length.total_seconds() / POINTS, person, start, end))

        found |= named(f"{name}_chart_{chart}", timed(ask, questions(people, charts, seed)))
        slower = float(str(found[f"{name}_chart_{chart}_p95_ms"])) / float(str(figures[f"chart_{chart}_p95_ms"]))
        found[f"{name}_chart_{chart}_ratio"] = round(slower, 1)
    return found


def with_duckdb(folder: Path, people: list[str], scale: Scale, figures: dict[str, object]) -> dict[str, object]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW readings AS SELECT * FROM '{folder}/plain/*.parquet'")
    query = CHART.replace("%s", "?")
    charts = max(scale.charts // 4, 8)  # each takes long
    return peer("duckdb", lambda values: connection.execute(query, values).fetchall(), people, charts, figures)


def with_postgres(
    folder: Path, people: list[str], scale: Scale, figures: dict[str, object], stack: contextlib.ExitStack
) -> dict[str, object]:
    some = people[: scale.postgres_people]
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellrange-benchmark-")))
    home.chmod(0o755)
    try:
        url = postgres(home, stack)
    except Missing as missing:
        print(f"No PostgreSQL, so nothing is compared with it: {missing}", file=sys.stderr)
        return {}
    connection = stack.enter_context(psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True))
    connection.execute(
        "CREATE UNLOGGED TABLE readings (subject text, measured_at timestamptz, heart_rate float8, spo2 float8)"
    )
    rows = 0
    for path in tqdm(sorted((folder / "plain").glob("*.parquet")), unit="file", desc="Filling PostgreSQL"):
        table = pq.read_table(path, filters=[("subject", "in", some)])
        rows_as_text = ("\t".join(map(str, row)) for row in zip(*table.to_pydict().values(), strict=True))
        text = "".join(f"{row}\n" for row in rows_as_text)
        with connection.cursor() as cursor, cursor.copy("COPY readings FROM STDIN") as copy:
            copy.write(text)
        rows += table.num_rows
    connection.execute("CREATE INDEX ON readings (subject, measured_at)")
    connection.execute("ANALYZE readings")
    found = peer("postgres", lambda v: connection.execute(CHART, v).fetchall(), some, scale.charts, figures)
    return {"postgres_rows": rows, **found}


if __name__ == "__main__":
    main()
