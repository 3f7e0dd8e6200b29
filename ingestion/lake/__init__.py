"""The lake: the Delta tables `readings`, the record of every measurement, and `summaries`, made of it by sealing.

`readings` has one row per admitted packet, partitioned by (organisation, day of measurement in UTC). The table's own
log holds how far each partition of `vitals.admitted` has been written: rows and position are one commit, which makes
appending exact. Each module has one job.
"""

from ingestion.lake.append import LakeMoved, append, application_id, position
from ingestion.lake.read import read
from ingestion.lake.schema import INSTANT, NATURAL_KEY, READING_SCHEMA, TABLE_SCHEMA, unique, with_day
from ingestion.lake.storage import storage_options
from ingestion.lake.tables import open_readings, readings_url

__all__ = [
    "INSTANT",
    "NATURAL_KEY",
    "READING_SCHEMA",
    "TABLE_SCHEMA",
    "LakeMoved",
    "append",
    "application_id",
    "open_readings",
    "position",
    "read",
    "readings_url",
    "storage_options",
    "unique",
    "with_day",
]
