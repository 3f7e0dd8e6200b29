"""Recorded series: read, sent, and compared by fingerprint."""

import json
from datetime import datetime

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.reading import decode
from simulator import iot_simulator, replay


@pytest.fixture
def recorded(tmp_path):
    rows = {
        "user": ["a", "a", "b"],
        "ts": [datetime(2016, 4, 12, 7, 21), datetime(2016, 4, 12, 7, 22, 0, 123456), datetime(2016, 4, 12, 7, 21)],
        "hr": [102.0, 58.5, None],
        "spo2": [None, 97.25, 95.0],
    }
    path = tmp_path / "series.parquet"
    pyarrow.parquet.write_table(pa.table(rows), path)
    return path


def test_a_series_arrives_value_for_value(recorded, tmp_path):
    out = tmp_path / "sent.jsonl"
    assert iot_simulator.main(["--replay", str(recorded), "--transport", "file", "--output", str(out)]) == 0
    lines = out.read_bytes().splitlines()
    assert [json.loads(line)["device_id"] for line in lines] == ["replay_a", "replay_b", "replay_a"]

    decoded = decode(lines)
    arrived = pa.table({"time": decoded.measured_at, **{v: decoded.vitals[v] for v in ("heart_rate", "spo2")}})
    series = replay.read(recorded)
    assert series.vitals == ("heart_rate", "spo2")
    assert replay.fingerprint(arrived, series.vitals) == replay.fingerprint(series.table, series.vitals)
    assert replay.fingerprint(arrived, series.vitals)[0] == 4


def test_one_person_and_columns_by_name_from_csv(recorded, tmp_path):
    path = tmp_path / "series.csv"
    table = pyarrow.parquet.read_table(recorded).rename_columns(["who", "when", "beats", "spo2"])
    pyarrow.csv.write_csv(table, path)
    series = replay.read(path, {"time": "when", "person": "who", "heart_rate": "beats"}, person="a")
    assert series.table["heart_rate"].to_pylist() == [102.0, 58.5]
    assert series.table["time"].to_pylist()[0] == 1_460_445_660_000_000


def test_what_is_not_a_series_is_explained(recorded, tmp_path, capsys):
    path = tmp_path / "other.csv"
    path.write_text("when,hr\n2016,1\n")
    assert iot_simulator.main(["--replay", str(path), "--transport", "stdout"]) == 2
    assert "--columns time=COLUMN" in capsys.readouterr().err


values = st.lists(st.tuples(st.integers(0, 10**15), st.floats(1, 200)), min_size=1, max_size=20)


@given(values, st.randoms())
def test_a_fingerprint_knows_every_value_and_no_order(rows, random):
    def mark(some):
        times, numbers = zip(*some, strict=True)
        return replay.fingerprint(pa.table({"time": list(times), "heart_rate": list(numbers)}), ["heart_rate"])

    shuffled = random.sample(rows, len(rows))
    assert mark(shuffled) == mark(rows)
    assert mark([*rows, rows[0]]) != mark(rows)
    at, number = rows[0]
    assert mark([(at, number + 1), *rows[1:]]) != mark(rows)
    assert mark([(at + 1, number), *rows[1:]]) != mark(rows)
