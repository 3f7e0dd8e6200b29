"""The lake from outside: what was appended is there once, whoever else writes; on a folder and on S3."""

from datetime import UTC, datetime, timedelta

import pytest

from ingestion.lake import LakeMoved, append, open_readings, position, read
from ingestion.lake.seal import seal
from tests.analytics.readings import ALICE, BELLA, NOON, reading, table

ORGANISATION = "0" * 8
DAY = NOON.date()
LATER = NOON + timedelta(days=2)


def add(lake: str, rows, begin: int, end: int, partition: int = 0) -> None:
    append(open_readings(lake), table(rows), topic_id="t", begin={partition: begin}, end={partition: end})


def rates(lake: str, subject: str = ALICE) -> list[float]:
    found = read(
        lake,
        organisation=ORGANISATION,
        subject=subject,
        start=NOON - timedelta(days=1),
        end=NOON + timedelta(days=1),
        columns=["heart_rate"],
    )
    return found["heart_rate"].to_pylist()


def test_rows_and_position_are_one_commit(lake):
    add(lake, [reading(0, heart_rate=60), reading(60, heart_rate=61)], 0, 7)
    assert position(open_readings(lake), "t", 0) == 7
    assert position(open_readings(lake), "t", 1) is None
    assert rates(lake) == [60, 61]


def test_a_task_that_starts_elsewhere_than_the_table_writes_nothing(lake):
    add(lake, [reading(0, heart_rate=60)], 0, 1)
    with pytest.raises(LakeMoved):
        add(lake, [reading(0, heart_rate=60)], 0, 1)
    with pytest.raises(LakeMoved):
        add(lake, [reading(60, heart_rate=60)], 2, 3)
    assert rates(lake) == [60]


def test_of_two_tasks_with_the_same_partition_one_is_refused(lake):
    first, second = open_readings(lake), open_readings(lake)
    append(first, table([reading(0, heart_rate=60)]), topic_id="t", begin={0: 0}, end={0: 1})
    with pytest.raises(LakeMoved):
        append(second, table([reading(0, heart_rate=60)]), topic_id="t", begin={0: 0}, end={0: 1})
    append(second, table([reading(0, BELLA, heart_rate=70)]), topic_id="t", begin={1: 0}, end={1: 1})
    assert rates(lake) == [60]
    assert rates(lake, BELLA) == [70]


def test_a_day_sealed_while_a_task_reads_does_not_send_the_task_home(lake):
    add(lake, [reading(0, heart_rate=60)], 0, 1)
    reader = open_readings(lake)
    seal(lake, ORGANISATION, DAY, now=LATER)
    append(reader, table([reading(60, heart_rate=61)]), topic_id="t", begin={0: 1}, end={0: 2})
    assert rates(lake) == [60, 61]
    assert position(open_readings(lake), "t", 0) == 2


def test_a_woken_task_is_refused_even_if_a_day_was_sealed_meanwhile(lake):
    add(lake, [reading(0, heart_rate=60)], 0, 1)
    asleep = open_readings(lake)
    add(lake, [reading(60, heart_rate=61)], 1, 2)
    seal(lake, ORGANISATION, DAY, now=LATER)
    with pytest.raises(LakeMoved):
        append(asleep, table([reading(60, heart_rate=61)]), topic_id="t", begin={0: 1}, end={0: 2})
    assert rates(lake) == [60, 61]


def test_a_topic_made_anew_starts_anew(lake):
    add(lake, [reading(0, heart_rate=60)], 0, 9)
    append(open_readings(lake), table([reading(60, heart_rate=61)]), topic_id="t2", begin={0: 0}, end={0: 1})
    assert rates(lake) == [60, 61]


class TestTheSameReading:
    """Without a record id a reading is what was measured; with one, the latest receipt is the correction."""

    def test_is_there_once_whether_or_not_the_day_is_sealed(self, lake):
        once = reading(0, heart_rate=60) | {"record_id": ""}
        again = once | {"received_at": NOON + timedelta(hours=3), "source_offset": 5}
        other = once | {"heart_rate": 61.0}
        add(lake, [once, again, other], 0, 3)
        assert sorted(rates(lake)) == [60, 61]
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert sorted(rates(lake)) == [60, 61]
        add(lake, [again], 3, 4)
        assert sorted(rates(lake)) == [60, 61]

    def test_is_corrected_by_its_record_id(self, lake):
        wrong = reading(0, heart_rate=160)
        right = reading(0, late=60, heart_rate=60)
        add(lake, [right], 0, 1)
        add(lake, [wrong], 1, 2)  # an older receipt that comes late is not a correction
        assert rates(lake) == [60]
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert rates(lake) == [60]
        add(lake, [reading(0, late=7200, heart_rate=62)], 2, 3)
        assert rates(lake) == [62]
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert rates(lake) == [62]

    def test_of_another_person_is_another_reading(self, lake):
        add(lake, [reading(0, ALICE, heart_rate=60), reading(0, BELLA, heart_rate=60)], 0, 2)
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert rates(lake) == rates(lake, BELLA) == [60]


def test_reading_takes_exactly_the_period_asked_for(lake):
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    offsets = [(midnight - NOON).total_seconds() + s for s in (-0.000001, 0, 3599.999999, 3600)]
    add(lake, [reading(s, heart_rate=60 + n) for n, s in enumerate(offsets)], 0, 4)
    found = read(
        lake,
        organisation=ORGANISATION,
        subject=ALICE,
        start=midnight,
        end=midnight + timedelta(hours=1),
        columns=["heart_rate"],
    )
    assert found["heart_rate"].to_pylist() == [61, 62]
