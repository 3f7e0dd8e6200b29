"""Rows of readings in the order of a file of the lake: sorted by numbers, in half the time of a sort by strings."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Strings of which there are far fewer than rows: they move as numbers, and are written out at the end.
_REPEATED = ("organisation", "subject", "device_id", "source_topic")


def in_order(rows: pa.Table, by: Sequence[str]) -> pa.Table:
    """The rows sorted by these columns, all ascending; equal rows stay as they were. `by` may hold no nulls.

    A column of `by` is a date, an instant or one of _REPEATED.
    """
    columns = {
        name: column.dictionary_encode() if name in _REPEATED else column
        for name, column in zip(rows.column_names, (c.combine_chunks() for c in rows.columns), strict=True)
    }
    order = np.arange(rows.num_rows)
    for name in reversed(by):
        order = order[np.argsort(_ranks(columns[name])[order], kind="stable")]
    return pa.table(columns).take(pa.array(order)).cast(rows.schema)


def _ranks(column: pa.Array) -> np.ndarray:
    """Numbers in the order of the values; few different ones in 16 bits, which numpy sorts five times as fast."""
    if pa.types.is_dictionary(column.type):
        of_value = np.empty(len(column.dictionary), np.int64)
        of_value[pc.sort_indices(column.dictionary).to_numpy()] = np.arange(len(of_value))
        ranks: np.ndarray = of_value[column.indices.to_numpy()]
    else:
        whole = pa.int32() if pa.types.is_date(column.type) else pa.int64()
        ranks = column.cast(whole).to_numpy().astype(np.int64)
        ranks -= ranks.min() if len(ranks) else 0
    return ranks.astype(np.uint16) if ranks.max(initial=0) < 2**16 else ranks
