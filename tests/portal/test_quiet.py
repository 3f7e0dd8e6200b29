"""Quiet hours in every zone and over the change of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.accounts.models import QuietHours
from portal.accounts.quiet import quiet_until

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("preset", "local", "until"),
    [
        ("night", "2026-03-28T21:59", None),
        ("night", "2026-03-28T22:00", "2026-03-29T07:00"),  # the night the clocks go forward
        ("night", "2026-03-29T06:59", "2026-03-29T07:00"),
        ("night", "2026-03-29T07:00", None),
        ("off_work", "2026-11-27T17:59", None),
        ("off_work", "2026-11-27T18:00", "2026-11-30T08:00"),  # a Friday evening
        ("off_work", "2026-11-30T07:59", "2026-11-30T08:00"),
        ("none", "2026-11-28T03:00", None),
    ],
)
def test_presets(preset, local, until):
    now = datetime.fromisoformat(local).replace(tzinfo=LONDON)
    expected = datetime.fromisoformat(until).replace(tzinfo=LONDON) if until else None
    assert quiet_until(preset, LONDON, now) == expected


@given(
    st.sampled_from([QuietHours.NIGHT, QuietHours.OFF_WORK]),
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["Europe/London", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham"]),
)
def test_what_is_held_is_let_go_later_and_not_held_again(preset, now, zone):
    until = quiet_until(preset, ZoneInfo(zone), now)
    if until is not None:
        assert now < until <= now + timedelta(days=3)
        assert quiet_until(preset, ZoneInfo(zone), until) is None
