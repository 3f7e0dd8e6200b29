"""The containers' contract, kept in a temporary /opt/ml: what goes in, what comes out, and how a failure is told."""

import json
import re
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from analytics import sagemaker, store
from analytics.sagemaker.places import BadInput, run
from tests.analytics.readings import ALICE, BELLA, NOON, reading, table
from tests.docs.pages import ROOT

MIDNIGHT = NOON.replace(hour=0)
NAMES = ("heart_rate", "respiratory_rate", "spo2", "skin_temperature")


def lived(subject, days=6, ill_from=None, seed=1):
    draw = np.random.default_rng(seed)
    rows = []
    for second in range(-days * 86_400, 0, 300):
        values = draw.normal([62, 15, 97, 33.5], [2.5, 0.8, 0.5, 0.2])
        values[0] += 40 if ill_from is not None and second >= ill_from else 0
        rows.append(reading(second - 43_200, subject, steps=0.0, **dict(zip(NAMES, map(float, values), strict=True))))
    return table(rows)


def put(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / name)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A training job's folders as the second of two machines has them."""
    root = tmp_path_factory.mktemp("ml")
    training = root / "input" / "data" / "training"
    put(training, "a.parquet", lived(ALICE))
    put(training, "b.parquet", lived(BELLA, days=1))
    config = root / "input" / "config"
    config.mkdir()
    (config / "hyperparameters.json").write_text(json.dumps({"version": "v9", "budget": "0.5"}))
    (config / "resourceconfig.json").write_text(
        json.dumps({"current_host": "algo-2", "hosts": ["algo-2", "algo-1"], "network_interface_name": "eth0"})
    )
    return root, sagemaker.train(root, NOON)


def test_training_writes_one_model_file_with_its_card_for_this_machines_people(job):
    root, path = job
    assert path.name == "v9-1.parquet"
    card, models, _ = store.read(str(root / "model"), "v9-1")
    assert list(models) == [ALICE], "one day is too little to learn from"
    assert (card.people, card.data_to, card.metrics["may_be_promoted"]) == (1, "2026-03-01T00:00:00Z", 1.0)
    assert json.loads((root / "model" / "v9-1.json").read_text())["version"] == "v9-1"


def test_batch_scoring_tells_what_would_have_been_raised_and_why(job, tmp_path):
    _, path = job
    given = tmp_path / "processing" / "input"
    (given / "models").mkdir(parents=True)
    (given / "models" / path.name).write_bytes(path.read_bytes())
    put(given / "readings", "r.parquet", lived(ALICE, days=1, ill_from=-6 * 3600, seed=7))
    put(given / "readings", "unknown.parquet", lived(BELLA, days=1, ill_from=-6 * 3600))
    found = [json.loads(line) for line in sagemaker.score(tmp_path).read_text().splitlines()]
    opened = {f["cause"]: f for f in found if f["step"] == "opened"}
    assert {f["subject"] for f in found} == {ALICE}
    assert opened["personal:heart_rate:high"]["evidence"]["model"] == "v9-1"


@pytest.mark.parametrize("what", ["nothing", "rubbish", "too little", "no midnight"])
def test_a_job_that_cannot_work_says_why_and_what_to_do(tmp_path, what):
    training = tmp_path / "input" / "data" / "training"
    training.mkdir(parents=True)
    if what == "rubbish":
        (training / "a.parquet").write_bytes(b"PAR1 no")
    elif what != "nothing":
        put(training, "a.parquet", lived(BELLA, days=1))
    if what == "no midnight":
        (tmp_path / "input" / "config").mkdir()
        (tmp_path / "input" / "config" / "hyperparameters.json").write_text('{"end": "2026-03-01T09:00:00Z"}')
    with pytest.raises(BadInput, match=r"export|write"):
        sagemaker.train(tmp_path, NOON)
    assert run(tmp_path, lambda: sagemaker.train(tmp_path, NOON)) == 1
    assert (tmp_path / "output" / "failure").read_text().startswith("BadInput: ")


@pytest.mark.parametrize("image", ["training", "detection"])
def test_an_image_holds_what_its_entry_point_needs_and_nothing_of_the_portal(image):
    folder = ROOT / "docker" / image
    locked = (ROOT / "requirements" / "core.txt").read_text()
    pins = re.findall(r"^([a-z-]+)==(\S+)", (folder / "requirements.txt").read_text(), re.MULTILINE)
    assert len(pins) >= 4
    for name, version in pins:
        assert f"\n{name}=={version}" in locked, "not the version that is tested"
    code = (
        "import sys; sys.path.insert(0, '.'); before = set(sys.modules); "
        f"import runpy; runpy.run_path('docker/{image}/anomaly_detection.py', run_name='imported'); "
        "print(' '.join({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    portal = {"portal", "django", "celery", "redis", "channels", "confluent_kafka", "duckdb", "sklearn", "boto3"}
    assert set(found.stdout.split()) & portal == set()
    for line in (folder / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            assert (ROOT / line.split()[1]).exists(), line


def test_readings_that_a_person_was_split_over_two_files_of_are_one_person(tmp_path):
    whole = lived(ALICE)
    training = tmp_path / "input" / "data" / "training"
    put(training, "1.parquet", whole.slice(0, 800))
    put(training, "2.parquet", whole.slice(800))
    path = sagemaker.train(tmp_path, NOON)
    assert store.read(str(path.parent), path.stem)[1][ALICE].days == 6
