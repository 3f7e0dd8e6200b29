"""A day is a day of the person's time zone, wherever its hours lie in the lake."""

from datetime import datetime, timedelta, timezone

import pytest

from ingestion.lake import append, open_readings, read
from tests.analytics.readings import ALICE, NOON, reading, table


@pytest.mark.parametrize("offset_hours", [-11, -5, 0, 5.75, 14])
def test_a_day_in_any_time_zone_is_whole(tmp_path, offset_hours):
    """A local day lies in two days of UTC, and so in two folders of the lake."""
    lake = str(tmp_path / "lake")
    rows = table(reading(i * 3600, heart_rate=100 + i) for i in range(-48, 48))
    append(open_readings(lake), rows, topic_id="t", begin={0: 0}, end={0: 96})
    for hour in (0, 20):
        start = datetime(2026, 3, 1, hour, tzinfo=timezone(timedelta(hours=offset_hours)))
        first = -((NOON - start).total_seconds() // 3600)
        found = read(
            lake,
            organisation="0" * 8,
            subject=ALICE,
            start=start,
            end=start + timedelta(days=1),
            columns=["heart_rate"],
        )
        assert found["heart_rate"].to_pylist() == [100 + first + i for i in range(24)]
