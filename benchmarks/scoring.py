"""How fast readings are scored on one core, from a table of readings to episodes, beside an isolation forest.

Ours: gate, absolute limits, slots, statistics from a quarter of an hour to a day, episodes of both layers. The peer is
scikit-learn's IsolationForest on the same four vitals, called for each reading and for whole batches; it knows no
time, no episode and no gate. CPU time, so that a busy machine changes little. The last line is one JSON object.
"""

import argparse
import json
import time

import numpy as np
import pyarrow as pa
from sklearn.ensemble import IsolationForest

from analytics import train, windows
from analytics.batch import batch_of
from analytics.layers import Layers
from analytics.personal import Personal
from analytics.slots import CHANNELS, SLOTS_A_DAY, Slots
from analytics.terms import Term, Terms
from analytics.versions import Models, Version
from ingestion.lake import READING_SCHEMA

START = 1_780_000_000_000_000  # microseconds
EVERY_S = {"a reading a minute": 60, "a reading every five minutes": 300}
HABITS = np.array([66.0, 15.0, 97.0, 33.5])
NOISE = np.array([3.0, 1.0, 0.6, 0.2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer people and readings")
    quick = parser.parse_args().quick
    people, rounds, batches = (2_000, 10, 3) if quick else (10_000, 10, 6)
    draw = np.random.default_rng(1)
    history = days(28, draw)
    fits = [timed(lambda: train.fit(history)) for _ in range(3)]
    model = train.fit(history)
    assert model is not None
    subjects = [f"{i:032x}" for i in range(people)]
    ours = {
        name: through(
            subjects,
            Models([Version("v1", dict.fromkeys(subjects, model), windows.START_EDGES)]),
            every,
            rounds,
            batches,
            draw,
        )
        for name, every in EVERY_S.items()
    }
    forest = IsolationForest(n_estimators=100, random_state=0).fit(history.values[::3])
    rows = draw.normal(HABITS, NOISE, (5_000, len(CHANNELS)))
    one_by_one = 40 / timed(lambda: [forest.score_samples(rows[i : i + 1]) for i in range(40)])
    in_batches = len(rows) / timed(lambda: forest.score_samples(rows))
    result = {
        "benchmark": "scoring",
        "quick": quick,
        "readings_per_s_per_core": round(ours["a reading a minute"]["both"]),
        "fit_ms": round(1000 * min(fits), 1),
        "model_bytes": model.nbytes(),
        "personal_layer_per_s_per_core": {name: round(r["personal"]) for name, r in ours.items()},
        "both_layers_per_s_per_core": {name: round(r["both"]) for name, r in ours.items()},
        "forest_per_reading_per_s": round(one_by_one),
        "forest_in_batches_per_s": round(in_batches),
        "times_forest_per_reading": round(ours["a reading a minute"]["both"] / one_by_one, 1),
        "times_forest_in_batches": round(ours["a reading a minute"]["both"] / in_batches, 2),
    }
    for name, value in result.items():
        print(f"{name:34s} {value}")
    print(json.dumps(result))


def through(
    subjects: list[str], models: Models, every: int, rounds: int, batches: int, draw: np.random.Generator
) -> dict[str, float]:
    """Readings per second of CPU time: the personal layer alone, and both as the watcher has them."""
    layers, layer = Layers.anew(models), Personal(models)
    terms = Terms(Term(subject) for subject in subjects)
    layers.terms_are(terms)
    layer.terms_are(terms)
    spent_both = spent_personal = 0.0
    count = 0
    for number in range(batches):
        table = readings(subjects, number * rounds, rounds, every, draw)
        both_s = timed(lambda table=table: layers.take(table))
        personal_s = timed(lambda table=table: layer.take(batch_of(table)))
        if number:  # the first makes room for everybody
            count += table.num_rows
            spent_both += both_s
            spent_personal += personal_s
    return {"personal": count / spent_personal, "both": count / spent_both}


def readings(subjects: list[str], first: int, rounds: int, every: int, draw: np.random.Generator) -> pa.Table:
    """`rounds` readings of everybody, in order of time."""
    people = len(subjects)
    n = people * rounds
    at = START + np.repeat(first + np.arange(rounds), people) * every * 1_000_000
    values = draw.normal(HABITS, NOISE, (n, len(CHANNELS)))
    columns: dict[str, pa.Array] = {name: pa.nulls(n, field.type) for name, field in fields().items()}
    columns |= {
        "subject": pa.array(np.tile(subjects, rounds).tolist(), pa.string()),
        "measured_at": pa.array(at).cast(READING_SCHEMA.field("measured_at").type),
        "received_at": pa.array(at + 1_000_000).cast(READING_SCHEMA.field("received_at").type),
        "offset_minutes": pa.array(np.zeros(n, np.int16)),
        "device_id": pa.array(np.tile([f"d{i}" for i in range(people)], rounds).tolist(), pa.string()),
        "steps": pa.array(np.where(draw.random(n) < 0.1, 40.0, 0.0)),
    }
    columns |= {name: pa.array(values[:, i]) for i, name in enumerate(CHANNELS)}
    return pa.table(columns)


def fields() -> dict[str, pa.Field]:
    return {field.name: field for field in READING_SCHEMA}


def days(count: int, draw: np.random.Generator) -> Slots:
    n = count * SLOTS_A_DAY
    steps = np.where(draw.random(n) < 0.1, 200.0, 0.0)
    return Slots(draw.normal(HABITS, NOISE, (n, len(CHANNELS))), steps, np.arange(n) // 12 % 24)


def timed(work: object) -> float:
    begin = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - begin


if __name__ == "__main__":
    main()
