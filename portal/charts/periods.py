"""Which stretch of time a chart shows, as the address says it."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.http import QueryDict

CHOICES: dict[str, tuple[str, timedelta]] = {
    "1h": ("1 hour", timedelta(hours=1)),
    "6h": ("6 hours", timedelta(hours=6)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}
DEFAULT = "6h"
LONGEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end), both with a time zone. `name` is one of CHOICES, or empty for two days that somebody chose."""

    start: datetime
    end: datetime
    name: str = ""


class BadPeriod(ValueError):
    """The text says what to write instead."""


def period_of(query: QueryDict, *, now: datetime, zone: ZoneInfo) -> Period:
    """`?period=24h` up to now, or `?from=2016-04-01&to=2016-05-01`, whole days in `zone`, the last one included."""
    if query.get("from") or query.get("to"):
        try:
            first, last = date.fromisoformat(query.get("from", "")), date.fromisoformat(query.get("to", ""))
        except ValueError:
            raise BadPeriod("Write both days as year-month-day, for example 2026-03-01.") from None
        start = datetime.combine(first, time(), zone)
        end = datetime.combine(last + timedelta(days=1), time(), zone)
        if not timedelta() < end - start <= LONGEST:
            raise BadPeriod(f"The last day must not be before the first, nor more than {LONGEST.days} days after it.")
        return Period(start, end)
    name = query.get("period", DEFAULT)
    if name not in CHOICES:
        raise BadPeriod("Choose one of the periods: " + ", ".join(CHOICES))
    return Period(now - CHOICES[name][1], now, name)
