"""The folders of the contract, and reading what lies in them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

OPT_ML = Path("/opt/ml")
FAILURE = Path("output", "failure")


class BadInput(Exception):
    """What was given cannot be worked on; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Which of the job's machines this is, counted from 0, of how many."""

    number: int
    of: int


def hyperparameters(root: Path) -> dict[str, str]:
    """The job's settings; SageMaker gives every value as text."""
    found = _json(root / "input" / "config" / "hyperparameters.json", {})
    return {str(k): str(v) for k, v in found.items()}


def machine(root: Path) -> Machine:
    found = _json(root / "input" / "config" / "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    hosts = sorted(found["hosts"])
    return Machine(hosts.index(found["current_host"]), len(hosts))


def people(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Each person's readings in order of time, from all Parquet files of a folder. Raises BadInput."""
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise BadInput(f"There is no Parquet file in {folder}: export readings there first (manage.py export_training)")
    try:
        rows = pa.concat_tables([pq.read_table(file) for file in files])
        rows = rows.sort_by([("subject", "ascending"), ("measured_at", "ascending")])
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"The files in {folder} are not readings of one form: export them again") from error
    for subject in pc.unique(rows["subject"]).to_pylist():
        yield subject, rows.filter(pc.equal(rows["subject"], subject))


def run(root: Path, work: Callable[[], object]) -> int:
    """Do the work; the exit code. Why it failed is written where SageMaker looks for it."""
    try:
        work()
    except Exception as error:
        target = root / FAILURE
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{type(error).__name__}: {error}"[:1024])
        return 1
    return 0


def _json(path: Path, otherwise: dict[str, Any]) -> dict[str, Any]:
    if not path.is_file():
        return otherwise
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise BadInput(f"{path.name} is not JSON: start the job again with settings that are") from error
    return found
