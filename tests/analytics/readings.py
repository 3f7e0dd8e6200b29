"""Admitted readings for tests, written as a person would tell them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from analytics.batch import Batch, batch_of
from ingestion.lake import READING_SCHEMA

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE, BELLA = "a" * 32, "b" * 32

Row = dict[str, Any]


def reading(
    seconds: float, subject: str = ALICE, *, device: str = "watch", late: float = 0, **vitals: float | bool | str
) -> Row:
    """One reading, measured so many seconds after NOON and received `late` seconds after that."""
    measured = NOON + timedelta(seconds=seconds)
    return {
        "organisation": "0" * 8,
        "subject": subject,
        "measured_at": measured,
        "offset_minutes": 0,
        "received_at": measured + timedelta(seconds=late),
        "device_id": device,
        "record_id": f"{device}-{seconds}",
        "consent_sequence": 1,
        "source_topic": "t",
        "source_partition": 0,
        "source_offset": int(seconds * 10),
        **vitals,
    }


def batch(rows: Iterable[Row]) -> Batch:
    return batch_of(table(rows))


def table(rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), READING_SCHEMA)
