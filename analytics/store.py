"""Model files: one file per range of people and version, columnar (Parquet), with a model card beside it (JSON).

A file is read with nothing but Arrow: no pickle, nothing in it can run. `LAYOUT` names the meaning of its columns; a
file of another layout is refused with what to do, never guessed. Files are written under a temporary name and moved,
so a reader sees a whole file or none.
"""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.baseline import Prior
from analytics.persistence import STATISTICS
from analytics.population import Population
from analytics.scorer import KNOTS, Scorer
from analytics.slots import CHANNELS, HOURS, RECOVERY, SlotModel
from analytics.windows import Edges, StreamModel
from ingestion.lake.storage import is_s3, to_read, to_write

LAYOUT = "2"
POPULATION_LAYOUT = "2"
_SHAPES = {
    "centre": (HOURS, len(CHANNELS)),
    "spread": (HOURS, len(CHANNELS)),
    "recovery": (len(RECOVERY), len(CHANNELS)),
}


class UnreadableModel(Exception):
    """A model file that this code cannot read; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a version was made from and how it did; times are RFC 3339 in UTC. `metrics` has what `evaluate` gave."""

    version: str
    made_at: str
    data_from: str
    data_to: str
    people: int
    metrics: Mapping[str, float]


def write(url: str, card: Card, models: Mapping[str, StreamModel], edges: Edges) -> None:
    """Write the models of one range of people as `<version>.parquet` below `url`, and the card as `<version>.json`."""
    columns: dict[str, Any] = {"subject": pa.array(list(models), pa.string())}
    for name, shape in _SHAPES.items():
        rows: list[np.ndarray] = [getattr(m.usual, name) for m in models.values()]
        flat = np.stack(rows).astype(np.float32).ravel() if rows else np.empty(0, np.float32)
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(shape)))
    columns["days"] = pa.array([m.days for m in models.values()], pa.int32())
    shared = {"single": edges.single.tolist(), "together": edges.together.tolist()}
    table = pa.table(columns).replace_schema_metadata(
        {"wellrange.model": LAYOUT, "wellrange.card": json.dumps(asdict(card)), "wellrange.edges": json.dumps(shared)}
    )
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    _put(url, f"{card.version}.parquet", content.getvalue())
    _put(url, f"{card.version}.json", json.dumps(asdict(card), indent=1).encode())


def read(url: str, version: str) -> tuple[Card, dict[str, StreamModel], Edges]:
    """The card, the models by subject and the shared edges of a version below `url`. Raises UnreadableModel."""
    name = f"{version}.parquet"
    try:
        table = pq.read_table(io.BytesIO(_get(url, name)))
    except (OSError, pa.ArrowInvalid) as error:
        raise UnreadableModel(f"{name} is no whole model file: train this range of people again") from error
    metadata = table.schema.metadata or {}
    if metadata.get(b"wellrange.model") != LAYOUT.encode():
        raise UnreadableModel(f"{name} was written by another version of Wellrange: train it again")
    card = Card(**json.loads(metadata[b"wellrange.card"]))
    shared = json.loads(metadata[b"wellrange.edges"])
    arrays = {
        name: table[name].combine_chunks().flatten().to_numpy().astype(float).reshape(-1, *shape)
        for name, shape in _SHAPES.items()
    }
    days = table["days"].to_pylist()
    models = {
        subject: StreamModel(
            SlotModel(arrays["centre"][i], arrays["spread"][i], arrays["recovery"][i]),
            days[i],
        )
        for i, subject in enumerate(table["subject"].to_pylist())
    }
    return card, models, Edges(np.array(shared["single"]), np.array(shared["together"]))


def write_population(url: str, name: str, population: Population) -> None:
    """The nightly part that people share, as JSON: some hundred numbers that a person can read."""
    content = {
        "wellrange.population": POPULATION_LAYOUT,
        "channels": population.channels,
        "statistics": STATISTICS,
        "knots": KNOTS.tolist(),
        "sign": population.sign.tolist(),
        "within": population.prior.within.tolist(),
        "carry": population.prior.carry.tolist(),
        "pace": population.prior.pace.tolist(),
        "weight": population.scorer.weight.tolist(),
        "intercept": population.scorer.intercept,
        "threshold": population.threshold,
        "budget": population.budget,
    }
    _put(url, name, json.dumps(content, indent=1).encode())


def read_population(url: str, name: str) -> Population:
    """Raises UnreadableModel."""
    try:
        found = json.loads(_get(url, name))
    except (OSError, ValueError) as error:
        raise UnreadableModel(f"{name} is no whole model file: train the population again") from error
    same = found.get("statistics") == list(STATISTICS) and found.get("knots") == KNOTS.tolist()
    if found.get("wellrange.population") != POPULATION_LAYOUT or not same:
        raise UnreadableModel(f"{name} was written by another version of Wellrange: train the population again")
    return Population(
        tuple(found["channels"]),
        np.array(found["sign"]),
        Prior(np.array(found["within"]), np.array(found["carry"]), np.array(found["pace"])),
        Scorer(np.array(found["weight"]), found["intercept"]),
        found["threshold"],
        found["budget"],
    )


def _get(url: str, name: str) -> bytes:
    _made(url)
    with to_read(url).open_input_file(name) as file:
        content: bytes = file.read()
    return content


def _put(url: str, name: str, content: bytes) -> None:
    """On S3 an object is there once it is whole; in a folder it gets its name once it is."""
    _made(url)
    target = to_write(url)
    written = name if is_s3(url) else f".{name}.{os.getpid()}"
    # Through a buffer, since deltalake's S3 streams take bytes only, and Arrow hands large writes on as they are.
    with target.open_output_stream(written, buffer_size=len(content) + 1) as file:
        file.write(content)
    if written != name:
        target.move(written, name)


def _made(url: str) -> None:
    if not is_s3(url):
        Path(url.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
