"""Quiet hours: until when a message that can wait is held back."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from portal.accounts.models import QuietHours

NIGHT_BEGINS, NIGHT_ENDS = time(22), time(7)
WORK_BEGINS, WORK_ENDS = time(8), time(18)
SATURDAY = 5


def quiet_until(preset: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When the quiet hours that run at `now` end, in `zone`; None if none run. Right over a change of the clocks."""
    local = now.astimezone(zone)
    if preset == QuietHours.NIGHT:
        if local.time() >= NIGHT_BEGINS:
            return _at(local + timedelta(days=1), NIGHT_ENDS, zone)
        return _at(local, NIGHT_ENDS, zone) if local.time() < NIGHT_ENDS else None
    if preset == QuietHours.OFF_WORK:
        if local.weekday() < SATURDAY and WORK_BEGINS <= local.time() < WORK_ENDS:
            return None
        day = local if local.time() < WORK_BEGINS else local + timedelta(days=1)
        while day.weekday() >= SATURDAY:
            day += timedelta(days=1)
        return _at(day, WORK_BEGINS, zone)
    return None


def _at(day: datetime, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day.date(), clock, zone)
