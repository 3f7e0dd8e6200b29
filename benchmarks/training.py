"""How many people one core trains in a minute, from sealed days in a lake to a model file, and what 100,000 would take.

For each person as the nightly task does it: 28 days of readings of a watch read from the lake, the model fitted, fitted
again without the last day, and that day replayed; and the night before judged from the summaries. CPU time of one
process, so that a busy machine changes little. The last line is one JSON object.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from analytics import population, store
from analytics.channels import NIGHTLY
from analytics.learn import Learner, card_of, learn
from analytics.nights import judge, nights
from analytics.slots import CHANNELS
from analytics.windows import START_EDGES
from ingestion.lake import READING_SCHEMA, append, open_readings
from ingestion.lake.seal import seal

END = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 28
ORGANISATION = "0" * 8
HABITS, NOISE = np.array([66.0, 15.0, 97.0, 33.5]), np.array([3.0, 1.0, 0.6, 0.2])
PROJECTED = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer people")
    parser.add_argument("--every", type=int, default=300, help="seconds between two readings")
    options = parser.parse_args()
    people = 12 if options.quick else 60
    subjects = [f"{i * 0xFFFFFFFF // people:08x}{i:024x}" for i in range(people)]
    with tempfile.TemporaryDirectory() as folder:
        lake, models = f"{folder}/lake", f"{folder}/models"
        fill(lake, subjects, options.every)
        shared = population.from_published(tuple(NIGHTLY), people=8, nights=40)
        for subject in subjects[:2]:  # opens the tables: a worker does that once
            night(lake, subject, shared)
        learned: list = []
        trained = timed(lambda: learned.extend(train(lake, subjects, models)))
        judged = timed(lambda: [night(lake, subject, shared) for subject in subjects])
    per_minute = 60 * people / trained
    result = {
        "benchmark": "training",
        "quick": options.quick,
        "people": people,
        "readings_a_person": DAYS * 86_400 // options.every,
        "people_per_minute_per_core": round(per_minute),
        "nights_judged_per_minute_per_core": round(60 * people / judged),
        "core_hours_for_100000": round(PROJECTED / per_minute / 60, 2),
        "core_hours_for_100000_nights": round(PROJECTED * judged / people / 3600, 2),
        "models_made": sum(one.model is not None for one in learned),
    }
    for name, value in result.items():
        print(f"{name:36s} {value}")
    print(json.dumps(result))


def train(lake: str, subjects: list[str], models: str) -> list:
    people = [Learner(ORGANISATION, subject) for subject in subjects]
    learned = list(learn(lake, people, end=END, edges=START_EDGES, judged={}, since=None))
    card = card_of("v1", END, END, learned, {})
    store.write(models, card, {one.subject: one.model for one in learned if one.model is not None}, START_EDGES)
    return learned


def night(lake: str, subject: str, shared: population.Population) -> None:
    found = nights(
        lake, organisation=ORGANISATION, subject=subject, zone=ZoneInfo("UTC"), last=(END - timedelta(days=1)).date()
    )
    judge(shared, found, "v1")


def fill(lake: str, subjects: list[str], every: int) -> None:
    """Days of everybody, appended and sealed as the archiver and the sealing task leave them."""
    draw = np.random.default_rng(1)
    table = open_readings(lake)
    for number in range(DAYS):
        day = END - timedelta(days=DAYS - number)
        rows = readings(subjects, day, every, draw)
        append(table, rows, topic_id="t", begin={0: number}, end={0: number + 1})
        table.update_incremental()
        seal(lake, ORGANISATION, day.date(), now=END + timedelta(days=1))
        table = open_readings(lake)


def readings(subjects: list[str], day: datetime, every: int, draw: np.random.Generator) -> pa.Table:
    each, people = 86_400 // every, len(subjects)
    n = each * people
    at = int(day.timestamp() * 1e6) + np.repeat(np.arange(each), people) * every * 1_000_000
    values = draw.normal(HABITS, NOISE, (n, len(CHANNELS)))
    columns: dict[str, pa.Array] = {field.name: pa.nulls(n, field.type) for field in READING_SCHEMA}
    columns |= {
        "organisation": pa.array([ORGANISATION] * n),
        "subject": pa.array(np.tile(subjects, each).tolist()),
        "measured_at": pa.array(at).cast(READING_SCHEMA.field("measured_at").type),
        "received_at": pa.array(at + 1_000_000).cast(READING_SCHEMA.field("received_at").type),
        "offset_minutes": pa.array(np.zeros(n, np.int16)),
        "device_id": pa.array(np.tile([f"d{i}" for i in range(people)], each).tolist()),
        "record_id": pa.array([""] * n),
        "consent_sequence": pa.array(np.ones(n, np.int64)),
        "source_topic": pa.array(["t"] * n),
        "source_partition": pa.array(np.zeros(n, np.int32)),
        "source_offset": pa.array(np.arange(n)),
        "steps": pa.array(np.where(draw.random(n) < 0.1, 40.0, 0.0)),
    }
    columns |= {name: pa.array(values[:, i]) for i, name in enumerate(CHANNELS)}
    return pa.table(columns).cast(READING_SCHEMA)


def timed(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
