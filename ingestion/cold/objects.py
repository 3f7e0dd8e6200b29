"""What an archived object is: one person's readings of one quarter, as Parquet, sorted by time."""

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.lake.read import read
from ingestion.lake.schema import READING_SCHEMA
from ingestion.lake.tables import Snapshot
from ingestion.quarters import Quarter

_DELTA = ("measured_at", "received_at", "source_offset")


@dataclass(frozen=True, slots=True)
class Packed:
    """An object's bytes and what is known of it without reading it."""

    data: bytes
    rows: int
    first_at: datetime
    last_at: datetime

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def object_key(organisation: str, subject: str, quarter: Quarter, sequence: int) -> str:
    """One object per person, quarter and archiving: number 1 is the quarter, later ones are what came late."""
    return f"{organisation}/{subject}/{quarter.name}-{sequence}.parquet"


def person_prefix(organisation: str, subject: str) -> str:
    return f"{organisation}/{subject}/"


def pack(rows: pa.Table) -> Packed:
    """Rows of READING_SCHEMA of one person, each once, sorted by time, at least one."""
    out = io.BytesIO()
    names = [n for n in rows.column_names if rows[n].null_count < rows.num_rows]  # what was never measured takes space
    rows = rows.select(names).replace_schema_metadata(None)
    pq.write_table(
        rows,
        out,
        compression="zstd",
        compression_level=19,
        use_dictionary=[n for n in names if n not in _DELTA],
        column_encoding={n: "DELTA_BINARY_PACKED" for n in _DELTA if n in names},
        store_schema=False,
    )
    times = rows["measured_at"]
    return Packed(out.getvalue(), rows.num_rows, times[0].as_py(), times[-1].as_py())


def unpack(data: bytes) -> pa.Table:
    """The rows of an object, with the columns of READING_SCHEMA; those that it left out are null."""
    rows = pq.read_table(io.BytesIO(data))
    columns = [
        rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type)
        for f in READING_SCHEMA
    ]
    return pa.table(columns, schema=READING_SCHEMA.remove_metadata())


def rows_of(lake: str, snapshot: Snapshot, organisation: str, subject: str, quarter: Quarter) -> pa.Table:
    """One person's readings of a quarter in these files, each once."""
    columns = [name for name in READING_SCHEMA.names if name not in ("organisation", "subject")]
    rows = read(
        lake,
        organisation=organisation,
        subject=subject,
        start=quarter.start,
        end=quarter.end,
        columns=columns,
        snapshot=snapshot,
    )
    for place, (name, value) in enumerate((("organisation", organisation), ("subject", subject))):
        rows = rows.add_column(place, name, pa.repeat(pa.scalar(value), rows.num_rows))
    return rows
