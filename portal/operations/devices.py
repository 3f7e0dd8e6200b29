"""From a device to the people whose readings it sent, for queries that name a device."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pyarrow as pa
from django.db import transaction

from analytics.sql import DevicesToPeople, Wearing
from ingestion.lake.files import dataset
from ingestion.lake.seal import AT_LATEST
from ingestion.lake.tables import READINGS, File, newest
from portal.operations.models import DeviceInLake, LakeIndexed

# What came late is merged as old as its oldest, until it is sealed; and the clocks of those who write files differ.
SLACK = AT_LATEST + timedelta(hours=1)
FILES_AT_ONCE = 50


def devices_follow(lake: str) -> int:
    """Read the devices of files that were added since the last call; the number of files read.

    Reading a file twice changes nothing, and two calls at once wait for each other.
    """
    LakeIndexed.objects.get_or_create(lake=lake)
    with transaction.atomic():
        indexed = LakeIndexed.objects.select_for_update().get(lake=lake)
        since = indexed.added_until - SLACK if indexed.added_until else None
        files = sorted((f for f in newest(lake, READINGS).files if since is None or f.added >= since), key=_added)
        for start in range(0, len(files), FILES_AT_ONCE):
            _widen(_pairs(lake, files[start : start + FILES_AT_ONCE]))
        if files:
            indexed.added_until = files[-1].added
            indexed.save(update_fields=["added_until"])
    return len(files)


def wearing(lake: str) -> DevicesToPeople:
    """The lookup for `analytics.sql`. Each time it is asked, it first reads what has come to the lake."""

    def people(devices: Iterable[str]) -> list[Wearing]:
        devices_follow(lake)
        rows = DeviceInLake.objects.filter(device_id__in=list(devices))
        return [Wearing(row.subject, row.first_at, row.last_at) for row in rows]

    return people


def _added(file: File) -> datetime:
    return file.added


def _pairs(lake: str, files: list[File]) -> pa.Table:
    """Device, subject, first and last time of measurement in these files."""
    columns = ["device_id", "subject", "measured_at"]
    parts = []
    for batch in dataset(lake, READINGS, files).scanner(columns=columns).to_batches():
        grouped = pa.Table.from_batches([batch]).group_by(columns[:2])
        parts.append(grouped.aggregate([("measured_at", "min"), ("measured_at", "max")]))
    merged = pa.concat_tables(parts).group_by(columns[:2])
    return merged.aggregate([("measured_at_min", "min"), ("measured_at_max", "max")])


def _widen(pairs: pa.Table) -> None:
    known = {
        (row.device_id, row.subject): row
        for row in DeviceInLake.objects.filter(device_id__in=pairs["device_id"].to_pylist())
    }
    new = []
    for pair in pairs.to_pylist():
        first, last = pair["measured_at_min_min"], pair["measured_at_max_max"]
        row = known.get((pair["device_id"], pair["subject"]))
        if row is None:
            new.append(DeviceInLake(device_id=pair["device_id"], subject=pair["subject"], first_at=first, last_at=last))
        elif first < row.first_at or last > row.last_at:
            row.first_at, row.last_at = min(first, row.first_at), max(last, row.last_at)
            row.save(update_fields=["first_at", "last_at"])
    DeviceInLake.objects.bulk_create(new)
