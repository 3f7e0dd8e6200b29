"""The state of the consent ledger as a small table, for SQL that honours it."""

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from django.db.models import Max

from analytics.sql import CONSENT_SCHEMA
from ingestion.erase import log_remove
from ingestion.lake.storage import storage_options
from ingestion.versions import versions_forget
from portal.consent.models import ConsentEntry
from portal.people.following import Follower
from portal.people.models import Change
from portal.watchdog.ring import ORGANISATION

_changes = Follower([Change.Kind.CONSENT, Change.Kind.PATIENT])


def consents_now() -> pa.Table:
    """One row (CONSENT_SCHEMA) a person and purpose: the entry in force. Synthetic patients have none."""
    people = ConsentEntry.objects.exclude(patient__organisation__name=ORGANISATION)
    newest = people.values("patient", "purpose").annotate(pk=Max("pk")).values("pk")
    rows = ConsentEntry.objects.filter(pk__in=newest).values_list(
        "patient__organisation__key", "patient__subject", "purpose", "given", "sequence"
    )
    columns = list(zip(*rows, strict=True)) or [()] * len(CONSENT_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, CONSENT_SCHEMA, strict=True)]
    return pa.table(arrays, schema=CONSENT_SCHEMA)


def consents_url(lake: str) -> str:
    return lake.rstrip("/") + "/consents"


def consents_export(lake: str) -> int:
    """Put the ledger's state into the lake, for Athena, in one commit; the number of rows."""
    rows = consents_now().sort_by([("organisation", "ascending"), ("subject", "ascending"), ("purpose", "ascending")])
    url = consents_url(lake)
    write_deltalake(
        url,
        rows,
        mode="overwrite",
        name="consents",
        configuration={"delta.logRetentionDuration": "interval 2 days"},
        storage_options=storage_options(url),
    )
    return rows.num_rows


def consents_forget(lake: str) -> None:
    """Remove every earlier version of the table: it may name somebody who was erased."""
    url = consents_url(lake)
    table = DeltaTable(url, storage_options=storage_options(url))
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    table = DeltaTable(url, storage_options=storage_options(url))
    table.create_checkpoint()
    log_remove(url, table.version())
    versions_forget(url)


def consents_follow(lake: str) -> bool:
    """Export if this process has seen a change since its last export, or has not exported yet."""
    changed = _changes.changed()
    if changed:
        consents_export(lake)
    return changed
