"""What was appended is there once, whatever was delivered again, and whether or not its day is sealed."""

from datetime import timedelta

import pytest

from ingestion.lake import LakeMoved, append, open_readings, position
from ingestion.lake.seal import seal
from tests.analytics.readings import ALICE, BELLA, NOON, reading, table
from tests.ingestion.lakes import ORGANISATION, add, values

DAY = NOON.date()
LATER = NOON + timedelta(days=2)


def test_a_day_sealed_while_a_task_reads_does_not_send_the_task_home(lake):
    add(lake, [reading(0, heart_rate=60)])
    reader = open_readings(lake)
    seal(lake, ORGANISATION, DAY, now=LATER)
    append(reader, table([reading(60, heart_rate=61)]), topic_id="t", begin={0: 1}, end={0: 2})
    assert values(lake) == [60, 61]
    assert position(open_readings(lake), "t", 0) == 2


def test_a_woken_task_is_refused_even_if_a_day_was_sealed_meanwhile(lake):
    add(lake, [reading(0, heart_rate=60)])
    asleep = open_readings(lake)
    add(lake, [reading(60, heart_rate=61)])
    seal(lake, ORGANISATION, DAY, now=LATER)
    with pytest.raises(LakeMoved):
        append(asleep, table([reading(60, heart_rate=61)]), topic_id="t", begin={0: 1}, end={0: 2})
    assert values(lake) == [60, 61]


class TestTheSameReading:
    """Without a record id a reading is what was measured; with one, the latest receipt is the correction."""

    def test_is_there_once_whether_or_not_the_day_is_sealed(self, lake):
        once = reading(0, heart_rate=60) | {"record_id": ""}
        again = once | {"received_at": NOON + timedelta(hours=3), "source_offset": 5}
        other = once | {"heart_rate": 61.0}
        add(lake, [once, again, other])
        assert sorted(values(lake)) == [60, 61]
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert sorted(values(lake)) == [60, 61]
        add(lake, [again])
        assert sorted(values(lake)) == [60, 61]

    def test_is_corrected_by_its_record_id(self, lake):
        wrong = reading(0, heart_rate=160)
        right = reading(0, late=60, heart_rate=60)
        add(lake, [right])
        add(lake, [wrong])  # an older receipt that comes late is not a correction
        assert values(lake) == [60]
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert values(lake) == [60]
        add(lake, [reading(0, late=7200, heart_rate=62)])
        assert values(lake) == [62]
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert values(lake) == [62]

    def test_of_another_person_is_another_reading(self, lake):
        add(lake, [reading(0, ALICE, heart_rate=60), reading(0, BELLA, heart_rate=60)])
        seal(lake, ORGANISATION, DAY, now=LATER)
        assert values(lake) == values(lake, BELLA) == [60]
