"""`celery -A tests.faults.frozen_worker`: our worker, but twice an archive task freezes between reading and appending.

The second time it then appends without the position check: it takes the table as it has become meanwhile for the one it
read for. This is what `ingestion.lake.append` forbids, and what the balance must notice.
"""

import os
import signal
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from ingestion import archiver
from ingestion.lake import append, position
from portal.celery import app

__all__ = ["app"]

_guarded = [True, False]


def freeze_then_append(table: DeltaTable, rows: pa.Table | None, *, topic_id: str, begin: Any, **more: Any) -> None:
    if rows is not None and _guarded:
        guarded = _guarded.pop(0)
        os.kill(os.getpid(), signal.SIGSTOP)
        if not guarded:
            table = DeltaTable(table.table_uri)
            begin = {partition: position(table, topic_id, partition) or 0 for partition in begin}
    append(table, rows, topic_id=topic_id, begin=begin, **more)


archiver.append = freeze_then_append
