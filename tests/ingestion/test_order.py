"""Rows in the order of the lake's files."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingestion.order import in_order

BY = ("organisation", "day", "subject", "measured_at")
ROW = st.fixed_dictionaries(
    {
        "organisation": st.sampled_from(["", "hillside", "riverside", "Ørsted"]),
        "subject": st.sampled_from(["0" * 32, "a" * 32, "f" * 32]),
        "measured_at": st.integers(-(10**12), 10**17),
        "heart_rate": st.none() | st.floats(20, 300),
        "dropped": st.none() | st.just("spo2:type"),
    }
)
SCHEMA = pa.schema(
    [
        pa.field("organisation", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("measured_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("heart_rate", pa.float64()),
        pa.field("dropped", pa.string()),
        pa.field("day", pa.date32(), nullable=False),
        pa.field("place", pa.int64()),
    ],
    metadata={"kept": "yes"},
)


def table(rows: list[dict]) -> pa.Table:
    for place, row in enumerate(rows):
        row["measured_at"] = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            microseconds=row["measured_at"] // 10**8 * 10**8
        )
        row |= {"day": row["measured_at"].date(), "place": place}
    return pa.Table.from_pylist(rows, SCHEMA)


@given(st.lists(ROW, max_size=40), st.integers(1, 5))
def test_it_is_the_stable_order_of_these_columns_however_the_rows_are_chunked(rows, chunks):
    whole = table(rows)
    size = max(1, len(rows) // chunks)
    cut = pa.concat_tables([whole.slice(i, size) for i in range(0, len(rows), size)] or [whole])
    expected = sorted(
        whole.to_pylist(),
        key=lambda row: tuple(row[name].encode() if isinstance(row[name], str) else row[name] for name in BY),
    )
    found = in_order(cut, BY)
    assert found.to_pylist() == expected
    assert found.schema.equals(SCHEMA, check_metadata=True)
