"""The lake: appending exactly once, and reading a person's days back."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from ingestion.lake import LakeMoved, append, open_readings, position, read, readings_url, unique
from tests.analytics.readings import ALICE, BELLA, NOON, reading, table

TOPIC = "topic-1"


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


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
    entries = [
        json.loads(line)
        for path in sorted(Path(readings_url(lake), "_delta_log").glob("*.json"))
        for line in path.read_text().splitlines()
    ]
    (stats,) = [json.loads(entry["add"]["stats"]) for entry in entries if "add" in entry]
    assert stats["minValues"].keys() <= {"subject", "measured_at", "received_at"}


# --- reading back ---


def stored(lake: str, *rows) -> None:
    append(open_readings(lake), table(rows), topic_id=TOPIC, begin={0: 0}, end={0: len(rows)})


def hours(lake: str, start: datetime, end: datetime, subject: str = ALICE) -> list[float]:
    """Heart rates of a period."""
    found = read(
        lake, organisation="0" * 8, subject=subject, start=start, end=end, columns=["measured_at", "heart_rate"]
    )
    times = found["measured_at"].to_pylist()
    assert times == sorted(times)
    return found["heart_rate"].to_pylist()


def test_a_person_is_read_from_start_to_before_end_and_nobody_else(lake):
    hour = 3600
    stored(
        lake,
        *(reading(i * hour, heart_rate=60 + i) for i in (2, 0, 1, 3)),
        reading(hour, BELLA, heart_rate=99),
        {**reading(hour, heart_rate=98), "organisation": "1" * 8},
    )
    assert hours(lake, NOON, NOON + timedelta(hours=3)) == [60, 61, 62]
    assert hours(lake, NOON, NOON + timedelta(hours=3), BELLA) == [99]
    assert hours(lake, NOON + timedelta(hours=9), NOON + timedelta(hours=10)) == []


@pytest.mark.parametrize("offset_hours", [-11, -5, 0, 5.75, 14])
def test_a_day_in_any_time_zone_is_whole(lake, offset_hours):
    """A local day lies in two days of UTC, and so in two folders of the lake."""
    stored(lake, *(reading(i * 3600, heart_rate=100 + i) for i in range(-48, 48)))
    for hour in (0, 20):
        start = datetime(2026, 3, 1, hour, tzinfo=timezone(timedelta(hours=offset_hours)))
        first = -((NOON - start).total_seconds() // 3600)
        assert hours(lake, start, start + timedelta(days=1)) == [100 + first + i for i in range(24)]


def test_a_reading_delivered_twice_is_read_once_with_the_latest_receipt(lake):
    once = reading(0, heart_rate=60)
    again = {**once, "received_at": NOON + timedelta(minutes=5), "heart_rate": 61.0}
    stored(lake, again, once, reading(1, heart_rate=62))
    assert hours(lake, NOON, NOON + timedelta(hours=1)) == [61, 62]


def test_the_same_record_of_two_devices_is_two_readings(lake):
    record = {"record_id": "r-1"}
    stored(lake, {**reading(0, device="watch"), **record}, {**reading(0, device="cuff"), **record})
    assert len(hours(lake, NOON, NOON + timedelta(hours=1))) == 2


def test_an_empty_lake_has_nothing_to_read(lake):
    assert hours(lake, NOON, datetime.now(UTC)) == []


deliveries = st.tuples(st.integers(0, 3), st.sampled_from(["watch", "cuff"]), st.integers(0, 50))


@given(st.lists(deliveries, max_size=30, unique=True))
def test_unique_keeps_the_latest_receipt_of_every_reading_sorted_by_time(sent):
    rows = unique(table(reading(seconds, device=device, late=late) for seconds, device, late in sent))
    latest: dict[tuple[int, str], int] = {}
    for seconds, device, late in sent:
        latest[seconds, device] = max(late, latest.get((seconds, device), 0))
    found = {
        ((row["measured_at"] - NOON).total_seconds(), row["device_id"]): (row["received_at"] - row["measured_at"])
        for row in rows.to_pylist()
    }
    assert found == {key: timedelta(seconds=late) for key, late in latest.items()}
    assert rows.num_rows == len(found)
    assert rows["measured_at"].to_pylist() == sorted(rows["measured_at"].to_pylist())
