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
    assert replay.fingerprint(arrived) == replay.fingerprint(series.table)
    assert replay.fingerprint(arrived)[0] == 4


def test_the_lake_and_the_command_line_give_the_same_fingerprint(recorded, capsys):
    assert replay.main([str(recorded), "--fingerprint"]) == 0
    said = capsys.readouterr().out.split()
    raw = pyarrow.parquet.read_table(recorded)
    for unit in ("us", "ns"):
        instants = raw["ts"].cast(pa.timestamp(unit)).cast(pa.timestamp(unit, "UTC"))
        lake = pa.table(
            {"measured_at": instants, "heart_rate": raw["hr"], "spo2": raw["spo2"], "organisation": ["x"] * 3}
        )
        count, mark = replay.fingerprint(lake)
        assert said[-2:] == [str(count), mark]


def test_rows_that_say_nothing_or_the_same_are_left_out_and_counted(tmp_path, capsys):
    path, out = tmp_path / "series.csv", tmp_path / "sent.jsonl"
    path.write_text(
        "timestamp,hr,consciousness,supplemental_oxygen\n"
        "2026-01-01T10:00:00+02:00,70,A,true\n"
        "2026-01-01T10:00:00+02:00,70,A,true\n"  # the same
        "2026-01-01T10:01:00+02:00,nan,,\n"  # no value
        ",71,A,false\n"  # no time
        "2026-01-01T10:02:00+02:00,nan,V,\n"
    )
    assert (
        iot_simulator.main(["--replay", str(path), "--transport", "file", "--output", str(out), "--device", "w"]) == 0
    )
    assert list(map(json.loads, out.read_text().splitlines())) == [
        {
            "device_id": "w",
            "timestamp": "2026-01-01T08:00:00.000Z",
            "heart_rate": 70.0,
            "supplemental_oxygen": True,
            "consciousness": "A",
        },
        {"device_id": "w", "timestamp": "2026-01-01T08:02:00.000Z", "consciousness": "V"},
    ]
    assert capsys.readouterr().err.startswith("3 rows are left out")


def test_one_person_and_columns_by_name_from_csv(recorded, tmp_path):
    path = tmp_path / "series.csv"
    table = pyarrow.parquet.read_table(recorded).rename_columns(["who", "when", "beats", "spo2"])
    pyarrow.csv.write_csv(table, path)
    series = replay.read(path, {"time": "when", "person": "who", "heart_rate": "beats"}, person="a")
    assert series.table["heart_rate"].to_pylist() == [102.0, 58.5]
    assert series.table["time"].to_pylist()[0] == 1_460_445_660_000_000


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("when,hr\n2016,1\n", (), "--columns time=COLUMN"),
        ("time,hr\n2016,1\n", (), "holds no dates or times"),
        ("time,pain\n2026-01-01,1\n", (), "--columns heart_rate=COLUMN"),
        ("time,hr\n2026-01-01,1\n", ("--columns", "heart_rate=bpm"), "no column bpm"),
        ("time,hr\n2026-01-01,1\n", ("--columns", "pain=hr"), "does not know pain"),
        ("time,hr\n2026-01-01,fast\n", (), "fast"),
        ("time,hr,user\n2026-01-01,1,a\n", ("--person", "b"), "no reading of person b"),
        ("time,hr,user\n2026-01-01,1,a\n2026-01-01,1,b\n", ("--device", "w"), "--person"),
        (None, (), "cannot be read"),
    ],
)
def test_what_is_not_a_series_is_explained(tmp_path, capsys, text, options, said):
    path = tmp_path / "other.csv"
    if text is not None:
        path.write_text(text)
    assert iot_simulator.main(["--replay", str(path), "--transport", "stdout", *options]) == 2
    assert said in capsys.readouterr().err


values = st.lists(st.tuples(st.integers(0, 10**15), st.floats(1, 200)), min_size=1, max_size=20)


@given(values, st.randoms())
def test_a_fingerprint_knows_every_value_and_no_order(rows, random):
    def mark(some):
        times, numbers = zip(*some, strict=True)
        return replay.fingerprint(pa.table({"time": list(times), "heart_rate": list(numbers)}))

    shuffled = random.sample(rows, len(rows))
    assert mark(shuffled) == mark(rows)
    assert mark([*rows, rows[0]]) != mark(rows)
    at, number = rows[0]
    assert mark([(at, number + 1), *rows[1:]]) != mark(rows)
    assert mark([(at + 1, number), *rows[1:]]) != mark(rows)
