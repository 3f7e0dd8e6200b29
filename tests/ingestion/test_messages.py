"""Admitted readings as Arrow messages: what goes in comes out, and no message is too large for a broker."""

from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.kafka import LARGEST_MESSAGE, from_messages, to_messages
from ingestion.lake import READING_SCHEMA
from tests.analytics.readings import reading, table


def batch(rows) -> pa.RecordBatch:
    return table(rows).combine_chunks().to_batches()[0]


values = st.fixed_dictionaries(
    {},
    optional={
        "heart_rate": st.floats(20, 300),
        "presence": st.booleans(),
        "consciousness": st.sampled_from("ACVPU"),
        "dropped": st.text(max_size=20),
    },
)


@given(st.lists(values, min_size=1, max_size=20))
def test_readings_come_back_as_they_were(sent):
    readings = batch(reading(place, **more) for place, more in enumerate(sent))
    back = from_messages(to_messages(readings))
    assert back.schema.equals(READING_SCHEMA, check_metadata=True)
    assert back.equals(pa.Table.from_batches([readings]))


def test_no_messages_are_no_readings():
    assert from_messages([]).num_rows == 0
    assert from_messages([]).schema.equals(READING_SCHEMA)


@pytest.mark.parametrize(("count", "length"), [(1, 64), (4096, 64), (4097, 0), (20_000, 64)])
def test_every_message_is_small_enough_and_the_order_is_kept(count, length):
    """Random ids do not compress: 4,096 of the longest would be larger than a message may be."""
    row, random = reading(0), Random(1)
    readings = batch({**row, "record_id": random.randbytes(length).hex(), "source_offset": i} for i in range(count))
    messages = list(to_messages(readings))
    assert max(map(len, messages)) <= LARGEST_MESSAGE
    assert from_messages(messages)["source_offset"].to_pylist() == list(range(count))


def test_what_is_not_a_message_is_refused_loudly():
    with pytest.raises(pa.ArrowInvalid):
        from_messages([b"{}"])
