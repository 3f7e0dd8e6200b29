"""Calendar quarters in UTC, the size in which readings are put away to the archive."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


@dataclass(frozen=True, slots=True, order=True)
class Quarter:
    year: int
    number: int  # 1 to 4

    @classmethod
    def of(cls, day: date) -> "Quarter":
        """The quarter in which a UTC day lies."""
        return cls(day.year, (day.month + 2) // 3)

    @property
    def name(self) -> str:
        return f"{self.year:04d}Q{self.number}"

    @property
    def first(self) -> date:
        return date(self.year, 3 * self.number - 2, 1)

    @property
    def following(self) -> "Quarter":
        return Quarter(self.year + self.number // 4, self.number % 4 + 1)

    @property
    def last(self) -> date:
        return self.following.first - timedelta(days=1)

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.following.start

    def days(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))


def touching(start: datetime, end: datetime) -> list[Quarter]:
    """The quarters that [start, end) touches; both carry a time zone."""
    quarter = Quarter.of(start.astimezone(UTC).date())
    last = Quarter.of((end - timedelta(microseconds=1)).astimezone(UTC).date())
    found = []
    while quarter <= last:
        found.append(quarter)
        quarter = quarter.following
    return found
