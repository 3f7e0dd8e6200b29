"""Appending to the lake: rows and positions are one commit, and whoever was overtaken writes nothing."""

import json

import pytest
from deltalake import DeltaTable
from pyarrow.fs import FileSelector

from ingestion.lake import LakeMoved, append, open_readings, position, readings_url
from ingestion.lake.storage import to_read
from tests.analytics.readings import reading, table

TOPIC = "topic-1"


def rows_of(lake: str) -> list[int]:
    """The source offsets that lie in the table, doubles and all."""
    return sorted(open_readings(lake).to_pyarrow_table(columns=["source_offset"])["source_offset"].to_pylist())


def write(snapshot: DeltaTable, first: int, last: int, *, partition: int = 0) -> None:
    """Append the readings with offsets first..last-1, as a task that read them for this snapshot."""
    rows = table(reading(offset / 10, device=f"watch-{partition}") for offset in range(first, last))
    append(snapshot, rows, topic_id=TOPIC, begin={partition: first}, end={partition: last})


def test_rows_and_position_are_one_commit(lake):
    before = open_readings(lake)
    assert position(before, TOPIC, 0) is None
    write(before, 0, 10)
    after = open_readings(lake)
    assert position(after, TOPIC, 0) == 10
    assert after.version() == before.version() == 1
    write(after, 10, 15)
    assert rows_of(lake) == list(range(15))


def test_a_snapshot_that_somebody_overtook_writes_nothing(lake):
    mine, other = open_readings(lake), open_readings(lake)
    write(other, 0, 10)
    with pytest.raises(LakeMoved):
        write(mine, 0, 10)
    assert rows_of(lake) == list(range(10))
    assert position(open_readings(lake), TOPIC, 0) == 10


def test_an_overtaken_task_without_rows_is_refused_too(lake):
    mine, other = open_readings(lake), open_readings(lake)
    write(other, 0, 10)
    with pytest.raises(LakeMoved):
        append(mine, None, topic_id=TOPIC, begin={0: 0}, end={0: 4})
    assert position(open_readings(lake), TOPIC, 0) == 10


@pytest.mark.parametrize("begin", [0, 9, 11])
def test_rows_that_do_not_begin_at_the_tables_position_are_refused(lake, begin):
    write(open_readings(lake), 0, 10)
    with pytest.raises(LakeMoved, match="partition 0"):
        write(open_readings(lake), begin, 20)
    assert rows_of(lake) == list(range(10))


def test_one_wrong_partition_refuses_the_rows_of_all(lake):
    write(open_readings(lake), 0, 10, partition=1)
    rows = table([reading(5)])
    with pytest.raises(LakeMoved, match="partition 1"):
        append(open_readings(lake), rows, topic_id=TOPIC, begin={0: 0, 1: 9}, end={0: 1, 1: 11})
    assert position(open_readings(lake), TOPIC, 0) is None


def test_tasks_of_different_partitions_do_not_disturb_each_other(lake):
    one, other = open_readings(lake), open_readings(lake)
    write(one, 0, 10, partition=0)
    write(other, 0, 10, partition=1)
    assert rows_of(lake) == sorted([*range(10), *range(10)])


def test_compacting_in_between_disturbs_nobody(lake):
    for first in range(0, 30, 10):
        write(open_readings(lake), first, first + 10)
    mine = open_readings(lake)
    assert open_readings(lake).optimize.compact()["numFilesRemoved"] == 3
    write(mine, 30, 40)
    assert rows_of(lake) == list(range(40))


def test_a_topic_made_anew_starts_anew(lake):
    write(open_readings(lake), 0, 10)
    assert position(open_readings(lake), "topic-2", 0) is None
    append(open_readings(lake), table([reading(0)]), topic_id="topic-2", begin={0: 0}, end={0: 1})
    assert position(open_readings(lake), TOPIC, 0) == 10


def test_a_position_can_move_without_rows(lake):
    append(open_readings(lake), None, topic_id=TOPIC, begin={0: 0}, end={0: 3})
    assert position(open_readings(lake), TOPIC, 0) == 3
    assert rows_of(lake) == []


def test_what_retention_took_is_recorded(lake):
    append(open_readings(lake), table([reading(0)]), topic_id=TOPIC, begin={0: 0}, end={0: 8}, gaps={0: 7})
    (newest,) = open_readings(lake).history(1)
    assert newest[f"gap.{TOPIC}.0"] == "7"


def test_the_log_keeps_no_range_of_a_vital(lake):
    append(open_readings(lake), table([reading(0, heart_rate=171)]), topic_id=TOPIC, begin={0: 0}, end={0: 1})
    log = to_read(readings_url(lake))
    names = sorted(file.path for file in log.get_file_info(FileSelector("_delta_log")) if file.extension == "json")
    entries = [json.loads(line) for name in names for line in log.open_input_stream(name).read().splitlines()]
    (stats,) = [json.loads(entry["add"]["stats"]) for entry in entries if "add" in entry]
    assert stats["minValues"].keys() <= {"subject", "measured_at", "received_at"}
