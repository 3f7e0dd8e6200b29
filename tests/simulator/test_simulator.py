"""The simulator through its command line: one seed one output, truth that is true, faults that do what they say."""

import ast
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from analytics.limits import INPUTS, levels, points
from ingestion.reading import Refusal, decode
from simulator import iot_simulator
from simulator.environment import NEEDED
from simulator.episodes import Episode
from simulator.people import DAY, Kit, Person, ward

COMMAND = "iot_simulator.py --devices 3 --duration 10 --speed max --transport file --output"
START = "2026-03-01T10:00:00Z"


def simulate(tmp_path, *options, devices=10, duration=120, name="out.jsonl"):
    out = tmp_path / name
    common = f"--devices {devices} --duration {duration} --speed max --transport file --start {START}"
    assert iot_simulator.main([*common.split(), "--output", str(out), *options]) == 0
    return out.read_bytes()


def packets(data):
    return [json.loads(line) for line in data.splitlines()]


def test_it_runs_from_its_own_folder_as_the_readme_says(tmp_path):
    done = subprocess.run(
        [sys.executable, *COMMAND.split(), str(tmp_path / "out")],
        cwd=Path(iot_simulator.__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Sending to" in done.stderr
    assert len((tmp_path / "out").read_text().splitlines()) >= 3 * 2


def test_a_python_without_the_packages_goes_on_in_that_of_the_environment(tmp_path):
    """`python -I -S` sees no installed package, as a fresh machine's Python does not."""
    root = Path(iot_simulator.__file__).parents[1]
    bare = [sys.executable, "-I", "-S", "iot_simulator.py", "--transport", "file", "--output", str(tmp_path / "out")]
    bare += ["--devices", "1", "--duration", "1"]

    def run(folder):
        return subprocess.run(bare, cwd=folder / "simulator", capture_output=True, text=True, timeout=60)

    (tmp_path / "simulator").mkdir()
    for module in (root / "simulator").glob("*.py"):
        (tmp_path / "simulator" / module.name).write_text(module.read_text())
    alone = run(tmp_path)
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1)
    assert f"run `make setup` in {tmp_path}" in alone.stderr

    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "ingestion").symlink_to(root / "ingestion")
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    helped = run(tmp_path)
    assert helped.returncode == 0, helped.stderr
    assert (tmp_path / "out").exists()


def test_the_packages_it_looks_for_are_those_it_imports():
    root = Path(iot_simulator.__file__).parents[1]
    sources = [*(root / "simulator").glob("*.py"), root / "ingestion" / "reading.py", root / "ingestion" / "vitals.py"]
    imported = {
        name.split(".")[0]
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        for name in _imported(node)
    }
    ours = {"simulator", "ingestion"}
    assert imported - ours - sys.stdlib_module_names == set(NEEDED)


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_without_a_broker_it_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("simulator.transports.ANSWER_S", 0.2)
    assert iot_simulator.main(["--devices", "1", "--duration", "1"]) == 2
    assert "--transport stdout" in capsys.readouterr().err


def test_with_no_broker_and_none_named_it_writes_packets_to_standard_output(capfdbinary, monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setattr(iot_simulator, "USUAL_BROKER", "127.0.0.1:1")
    monkeypatch.setattr("simulator.transports.ANSWER_S", 0.2)
    common = ["--devices", "2", "--duration", "10", "--speed", "max"]
    assert iot_simulator.main(common) == 0
    out, err = capfdbinary.readouterr()
    assert len(packets(out)) >= 4
    assert err.decode().splitlines()[:2] == [
        "No Kafka answers at 127.0.0.1:1 (make demo starts one).",
        "Sending to standard output.",
    ]
    assert iot_simulator.main([*common, "--transport", "kafka"]) == 2


def test_one_seed_gives_one_output_at_any_speed_and_another_seed_another(tmp_path):
    first = simulate(tmp_path, duration=20)
    assert simulate(tmp_path, "--speed", "100", duration=20) == first
    assert simulate(tmp_path, "--seed", "2", duration=20) != first


def test_more_people_do_not_change_the_others(tmp_path):
    few, many = (packets(simulate(tmp_path, devices=n)) for n in (5, 15))
    names = {p["device_id"] for p in few}
    assert [p for p in many if p["device_id"] in names] == few


def test_every_packet_of_a_healthy_ward_is_a_reading(tmp_path):
    values = simulate(tmp_path, "--kit", "watch,cuff,thermometer,oximeter,bed").splitlines()
    decoded = decode(values)
    assert decoded.refused == []
    assert set(decoded.dropped) == {None}
    assert {p.partition("_")[0] for p in decoded.device_id} == {"device", "cuff", "thermometer", "oximeter", "bed"}


def test_healthy_people_are_healthy_all_day():
    times = 1_772_000_000.0 + np.arange(0, DAY, 60)
    highest = []
    for number in range(1, 51):
        body = Person(1, number).body(times, 0)
        values = np.full((len(times), 7), np.nan)
        for name in ("heart_rate", "respiratory_rate", "spo2", "temperature", "systolic"):
            values[:, INPUTS.index(name)] = np.round(body[name], 1 if name == "temperature" else 0)
        scored = points(values, np.zeros(len(times), bool))
        assert not levels(scored).any()
        highest.append(np.quantile(scored.sum(axis=1), 0.99))
    assert max(highest) <= 2


@pytest.mark.parametrize(("kind", "points_of_3"), [("hypoxia", "spo2"), ("infection", None)])
def test_an_episode_shows_between_its_true_start_and_end_and_not_outside(tmp_path, kind, points_of_3):
    truth = tmp_path / "truth.jsonl"
    ill = packets(simulate(tmp_path, "--episode", f"{kind}:3:60:300", "--truth", str(truth), duration=480))
    well = packets(simulate(tmp_path, duration=480))
    (line,) = map(json.loads, truth.read_text().splitlines())
    assert (line["start"], line["end"]) == ("2026-03-01T10:01:00.000Z", "2026-03-01T10:06:00.000Z")
    changed = [a["timestamp"] for a, b in zip(ill, well, strict=True) if a != b]
    assert {a["device_id"] for a, b in zip(ill, well, strict=True) if a != b} == {"device_3"} <= set(line["devices"])
    assert "cuff_3" not in line["devices"]
    assert line["start"] < changed[0]
    assert changed[-1] < line["end"]
    if points_of_3:
        watch = [p for p in ill if p["device_id"] == "device_3"]
        inside = [p["spo2"] for p in watch if "10:01:25" < p["timestamp"][11:] < "10:05:20"]
        assert inside
        assert max(inside) < 90
    else:
        rate = {p["timestamp"]: p["heart_rate"] for p in well if p["device_id"] == "device_3"}
        rises = [p["heart_rate"] - rate[p["timestamp"]] for p in ill if p["device_id"] == "device_3"]
        assert max(rises) > 20
        assert min(rises) >= 0


def test_random_episodes_are_written_down_as_they_were_sent(tmp_path):
    truth = tmp_path / "truth.jsonl"
    simulate(tmp_path, "--episodes", "4", "--truth", str(truth), duration=600)
    lines = list(map(json.loads, truth.read_text().splitlines()))
    assert Counter(line["kind"] for line in lines) == {"hypoxia": 2, "infection": 2}
    assert len({line["person"] for line in lines}) == 4


FAULT = {
    "dropout": lambda sent, well: len(sent) < len(well),
    "spike": lambda sent, well: max(p.get("heart_rate", 0) for p in sent) == 230,
    "stuck": lambda sent, well: len({p["heart_rate"] for p in sent if "heart_rate" in p}) == 1,
    "clock_skew": lambda sent, well: all(p["timestamp"] < START for p in sent),
    "duplicate": lambda sent, well: len(sent) == 2 * len(well),
    "out_of_order": lambda sent, well: (
        sorted(p["timestamp"] for p in sent) != [p["timestamp"] for p in sent]
        and sorted(map(str, sent)) == sorted(map(str, well))
    ),
    "low_battery": lambda sent, well: min(p.get("battery", 99) for p in sent) <= 5 and len(sent) < len(well),
}


@pytest.mark.parametrize("kind", FAULT)
def test_a_fault_does_what_it_says_to_that_person_only(tmp_path, kind):
    both = [packets(simulate(tmp_path, *more)) for more in (("--faults", f"{kind}:3:0:120"), ())]
    theirs, others = (
        [[p for p in sent if p["device_id"].endswith("_3") is mine] for sent in both] for mine in (True, False)
    )
    assert others[0] == others[1]
    assert FAULT[kind](*theirs)


def test_a_malformed_packet_is_refused_and_an_empty_bed_is_nobody(tmp_path):
    broken = simulate(tmp_path, "--faults", "malformed:3:0:120").splitlines()
    assert {reason for _, reason in decode(broken).refused} == {Refusal.NOT_JSON}

    bed = simulate(tmp_path, "--kit", "bed", "--faults", "empty_bed:3:0:120").splitlines()
    decoded = decode([line for line in bed if b"bed_3" in line])
    assert decoded.refused == []
    assert decoded.vitals["presence"].to_pylist() == [False] * 4
    assert decoded.vitals["heart_rate"].null_count == 4


def test_every_fault_at_once_is_in_the_truth_file(tmp_path):
    truth = tmp_path / "truth.jsonl"
    simulate(tmp_path, "--faults", "all", "--truth", str(truth), "--kit", "watch,bed")
    lines = list(map(json.loads, truth.read_text().splitlines()))
    assert {line["kind"] for line in lines} == {*FAULT, "malformed", "empty_bed"}
    assert {tuple(line["devices"]) for line in lines if line["kind"] == "empty_bed"} == {("bed_9",)}


def test_two_faults_at_once_do_not_leak_into_each_other(tmp_path):
    sent = packets(simulate(tmp_path, "--faults", "stuck:3:0:120", "--faults", "spike:3:0:120", "--kit", "watch"))
    rates = Counter(p["heart_rate"] for p in sent if p["device_id"] == "device_3")
    assert rates[230.0] == 2
    assert len(rates) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        ("--episode", "flu:1:2:3"),
        ("--episode", "hypoxia"),
        ("--episode", "hypoxia:101:1:60"),
        ("--faults", "spike:1"),
        ("--faults", "spike:1:0:0"),
        ("--faults", "gremlins"),
        ("--faults", "empty_bed"),
        ("--episodes", "101"),
    ],
)
def test_a_wrong_option_is_explained(tmp_path, capsys, wrong):
    assert iot_simulator.main(["--transport", "stdout", *wrong]) == 2
    said = capsys.readouterr().err
    assert wrong[1] in said
    assert any(advice in said for advice in ("write", "the kind is", "--devices", "--kit", "the duration"))


@pytest.mark.parametrize(
    "wrong",
    [
        ("--speed", "0"),
        ("--speed", "fast"),
        ("--rate", "nan"),
        ("--devices", "0"),
        ("--start", "yesterday"),
        ("--kit", "scales"),
        ("--account", "a"),
        ("--replay", "x.csv", "--faults", "all"),
        ("--replay", "x.csv", "--columns", "hr"),
        ("--output", "x.jsonl"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(capsys, wrong):
    with pytest.raises(SystemExit) as ended:
        iot_simulator.main([*wrong, "--transport", "stdout"])
    assert ended.value.code == 2
    assert wrong[-2] in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(tmp_path, capsys):
    path = tmp_path / "no" / "such" / "folder"
    assert iot_simulator.main(["--transport", "file", "--output", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_runs_for_ever_until_it_is_asked_to_stop(number, code):
    command = [sys.executable, iot_simulator.__file__, "--devices", "5", "--rate", "5", "--forever"]
    with subprocess.Popen(
        [*command, "--transport", "stdout"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        live = [json.loads(running.stdout.readline()) for _ in range(20)]
        running.send_signal(number)
        rest, said = running.communicate(timeout=20)
    assert running.returncode == code
    assert f"{20 + len(rest.splitlines())} packets sent, then stopped as asked." in said
    assert {p["device_id"] for p in live} >= {f"device_{n}" for n in range(1, 6)}
    assert all(json.loads(line) for line in rest.splitlines())


def test_a_live_ward_is_given_out_while_it_is_made():
    """Making all people's next stretch at once would hold live packets up for seconds."""
    made = []

    class Counted(Person):
        def packets(self, *about):
            made.append(self.number)
            return super().packets(*about)

    given = ward([Counted(1, n) for n in range(1, 201)], 1_772_000_000.0, None, Kit())
    for _ in range(5000):
        before = len(made)
        next(given)
        assert len(made) - before <= (200 if before == 0 else 3)
    assert len(made) > 400


def test_an_effect_is_nothing_before_and_after():
    from simulator.episodes import effect

    shifts = effect(Episode("hypoxia", 1, 100, 200), np.array([0.0, 100, 150, 200, 300]))
    assert shifts["spo2"].tolist() == [0, 0, -10.5, 0, 0]


def test_tachycardia_comes_at_once_and_jumps_about_and_is_the_same_however_the_times_are_cut():
    from simulator.episodes import effect

    episode, times = Episode("tachycardia", 1, 0, 1000), np.arange(0.0, 1000, 5)
    rate = effect(episode, times)["heart_rate"]
    assert rate[3] > 55
    assert 3 < np.std(rate[10:170]) < 9
    assert effect(episode, times[50:])["heart_rate"].tolist() == rate[50:].tolist()


def test_a_slow_decline_takes_days_and_lessens_steps(tmp_path):
    from simulator.people import DAY, Kit, Person

    start, length = 1_772_000_000.0 // DAY * DAY, 10 * DAY
    kit = Kit(watch_every=300.0, devices=("watch",))
    ill = Person(1, 1, [Episode("decline", 1, start, start + length)])
    steps = [
        sum(p.content["steps"] for p in person.packets(start + 7 * DAY, start + 8 * DAY, start, kit))
        for person in (ill, Person(1, 1))
    ]
    assert steps[0] < 0.7 * steps[1]
