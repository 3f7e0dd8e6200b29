"""Batch scoring: readings and models in, what the personal layer would have raised out, one JSON object a line."""

import json
from pathlib import Path

import pyarrow as pa

from analytics import store
from analytics.batch import batch_of
from analytics.personal import Personal
from analytics.sagemaker.places import BadInput, people
from analytics.terms import Term, Terms
from analytics.versions import Models, Version

PROCESSING = Path("processing")


def score(root: Path) -> Path:
    """Score `processing/input/readings/*.parquet` with the files of `processing/input/models`; the findings are in
    `processing/output/findings.jsonl`, by person and time. Readings count as received when they were measured, and
    everybody as watched. Raises BadInput and UnreadableModel."""
    folder = root / PROCESSING / "input" / "models"
    names = sorted(path.stem for path in folder.glob("*.parquet"))
    if not names:
        raise BadInput(f"There is no model file in {folder}: train first")
    versions = []
    for share, name in enumerate(names):  # each of another share: the output of one training job
        card, models, edges = store.read(str(folder), name)
        versions.append(Version(card.version, models, edges, share=share))
    known = Models(versions)
    target = root / PROCESSING / "output" / "findings.jsonl"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w") as file:
        for subject, rows in people(root / PROCESSING / "input" / "readings"):
            layer = Personal(known)
            layer.terms_are(Terms([Term(subject)]))
            for step in layer.take(batch_of(_received(rows)))[0]:
                found = {
                    "subject": step.subject,
                    "cause": step.cause,
                    "step": step.step,
                    "at": step.at.isoformat(),
                    "evidence": step.evidence,
                }
                file.write(json.dumps(found) + "\n")
    return target


def _received(rows: pa.Table) -> pa.Table:
    named = rows if "received_at" not in rows.column_names else rows.drop_columns("received_at")
    return named.append_column("received_at", rows["measured_at"])
