"""Stretches of time as people mean them: whole local days, however long the clock makes them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end), both with a time zone, seen from `zone`: its days are the zone's."""

    start: datetime
    end: datetime
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("A period needs times with a time zone.")
        if self.start >= self.end:
            raise ValueError("A period must end after it starts.")

    @classmethod
    def of_days(cls, first: date, last: date, zone: ZoneInfo) -> "Period":
        """Whole days of `zone`, the last one included."""
        return cls(day_start(first, zone), day_start(last + timedelta(days=1), zone), zone)

    @property
    def days(self) -> list[date]:
        """The local days that the period touches."""
        first, last = self.start.astimezone(self.zone).date(), self.end.astimezone(self.zone).date()
        # Where clocks went back at midnight, a day that has begun can be followed by the end of the one before it.
        around = [first + timedelta(days=n) for n in range(-1, (last - first).days + 3)]
        begins = [day_start(day, self.zone) for day in around]
        return [
            day
            for day, begin, end in zip(around, begins, begins[1:], strict=False)
            if max(begin, self.start) < min(end, self.end)
        ]


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """When the day begins in `zone`, in UTC: its first midnight, or where there is none the moment clocks went on.

    A day that the zone left out altogether (Samoa, 30 December 2011) begins when it ends.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)
