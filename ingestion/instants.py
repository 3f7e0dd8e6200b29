"""Instants as numbers: microseconds since 1970, UTC, as `measured_at` is told in arrays and in Kafka."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE = timedelta(microseconds=1)


def microseconds(at: datetime) -> int:
    """Exact, unlike a way through `timestamp()`, which is a float. `at` carries a time zone."""
    return (at - EPOCH) // _ONE
