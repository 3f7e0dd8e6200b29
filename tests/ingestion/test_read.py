"""Reading a person's days back from the lake."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.lake import append, open_readings, read, unique
from tests.analytics.readings import ALICE, BELLA, NOON, reading, table

TOPIC = "t"


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
