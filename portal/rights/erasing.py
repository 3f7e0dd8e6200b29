"""Erasing one person: step by step, each step noted, so that a worker may die anywhere and the next goes on.

1. consent to care is withdrawn: the door admits nothing more after a few seconds;
2. the archiver must have come to where `vitals.admitted` ended then;
3. rows leave `readings` and `summaries_quarter`; quarters on their way to the archive are finished or begun anew;
4. the person's objects leave the archive, in all their versions;
5. logs are cut and replaced files removed, so that no older version of a table can be read;
6. latest values, samples of refused packets, personal models and rows of the database go.

Kafka keeps what it has for up to seven days more, refused packets among it. Until then a tombstone stands: `lake_audit`
knows by it why rows are missing, and leftovers of killed tasks are looked for again before it falls.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from confluent_kafka import Consumer
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from ingestion.cold.objects import person_prefix
from ingestion.erase import KINDS, leftovers_remove, log_cut, rows_remove
from ingestion.kafka import ADMITTED, RETENTION_MS, consumer_config, topic_id
from ingestion.lake import open_readings, position
from ingestion.walk import bounds
from portal.accounts.models import User
from portal.archive.archiving import batch_abandon, quarter_archive
from portal.archive.cold import cold_store
from portal.archive.models import Batch, Part
from portal.consent.models import ConsentEntry, Purpose
from portal.consent.services import consent_record
from portal.devices.models import Assignment
from portal.operations.consents import consents_export, consents_forget
from portal.operations.models import DeviceInLake
from portal.operations.refusals import refusals_forget_devices
from portal.people.models import Change, Patient
from portal.people.services import change_record
from portal.personal.versions import person_forget
from portal.pipeline.latest import latest_forget
from portal.rights.models import Erasure

log = logging.getLogger(__name__)

# A door looks for withdrawals every second, and waits once it has not been able to for a minute (see `doorway`).
STOPPED_AFTER = timedelta(seconds=75)
KAFKA_FORGETS = timedelta(milliseconds=RETENTION_MS)

Passing = Callable[[str], None]


def erasure_begin(*, patient: Patient, by: User, now: datetime) -> Erasure:
    """Begin to erase a person, or return the erasure that was begun. Raises PermissionDenied if `by` may not decide."""
    with transaction.atomic():
        Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
        begun = Erasure.objects.filter(subject=patient.subject).first()
        if begun is not None:
            return begun
        consent_record(patient=patient, purpose=Purpose.CARE, given=False, by=by, now=now)
        return Erasure.objects.create(
            organisation=patient.organisation.key, subject=patient.subject, began_at=now, stopped_at=now
        )


def erasure_advance(erasure: Erasure, now: datetime, passing: Passing = lambda place: None) -> bool:
    """Go on as far as it goes now; whether all is erased. Raises files.Changed: call again.

    `passing` is told each place between two steps, for the fault tests.
    """
    steps = {
        Erasure.Step.STOPPING: _stop,
        Erasure.Step.DRAINING: _drain,
        Erasure.Step.LAKE: _lake,
        Erasure.Step.ARCHIVE: _archive,
        Erasure.Step.CUTTING: _cut,
        Erasure.Step.DATABASE: _database,
    }
    while erasure.step != Erasure.Step.DONE:
        if not steps[Erasure.Step(erasure.step)](erasure, now, passing):
            return False
        passing(f"erase_{erasure.step}")
    return True


def _stop(erasure: Erasure, now: datetime, passing: Passing) -> bool:
    if now - erasure.stopped_at < STOPPED_AFTER:
        return False
    consumer = Consumer(consumer_config(settings.KAFKA_BOOTSTRAP_SERVERS, "erasure"))
    try:
        ends = {str(p): end for p, (_, end) in bounds(consumer, ADMITTED).items()}
    finally:
        consumer.close()
    return _note(erasure, Erasure.Step.DRAINING, ends=ends)


def _drain(erasure: Erasure, now: datetime, passing: Passing) -> bool:
    table, topic = open_readings(settings.LAKE_URL), topic_id(settings.KAFKA_BOOTSTRAP_SERVERS, ADMITTED)
    if any((position(table, topic, int(p)) or 0) < end for p, end in erasure.ends.items()):
        return False
    return _note(erasure, Erasure.Step.LAKE)


def _lake(erasure: Erasure, now: datetime, passing: Passing) -> bool:
    for batch in Batch.objects.filter(organisation=erasure.organisation).exclude(state=Batch.State.DONE):
        if batch.state == Batch.State.WRITING:
            batch_abandon(batch)
        else:
            quarter_archive(batch.organisation, batch.quarter, now=now)
    for kind in KINDS:
        _count(erasure, kind.name, rows=0)
        rows_remove(
            settings.LAKE_URL,
            kind,
            erasure.organisation,
            erasure.subject,
            noting=partial(_count_once, erasure, kind.name),
            passing=passing,
        )
    return _note(erasure, Erasure.Step.ARCHIVE)


def _archive(erasure: Erasure, now: datetime, passing: Passing) -> bool:
    store = cold_store()
    for key in store.keys(person_prefix(erasure.organisation, erasure.subject)):
        _count_once(erasure, "archive", key, 1)
        store.delete(key)
        passing("erase_object")
    deleted, _ = Part.objects.filter(subject=erasure.subject).delete()
    _count(erasure, "archive", objects=0, database_rows=deleted)
    return _note(erasure, Erasure.Step.CUTTING)


def _cut(erasure: Erasure, now: datetime, passing: Passing) -> bool:
    for kind in KINDS:
        _count(erasure, kind.name, files_removed=log_cut(settings.LAKE_URL, kind))
        removed, _ = leftovers_remove(settings.LAKE_URL, kind, now)
        _count(erasure, kind.name, leftovers_removed=removed)
        passing("erase_cut")
    return _note(erasure, Erasure.Step.DATABASE)


def _database(erasure: Erasure, now: datetime, passing: Passing) -> bool:
    devices = set(DeviceInLake.objects.filter(subject=erasure.subject).values_list("device_id", flat=True))
    assigned = Assignment.objects.filter(patient__subject=erasure.subject)
    devices |= set(assigned.values_list("device__device_id", flat=True))
    _count(erasure, "refused", samples=refusals_forget_devices(devices))
    latest_forget(erasure.subject)
    passing("erase_redis")
    _count(erasure, "models", files=person_forget(subject=erasure.subject, now=now))
    passing("erase_models")
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL wellrange.erasing = 'yes'")
        indexed, _ = DeviceInLake.objects.filter(subject=erasure.subject).delete()
        _count(erasure, "database", device_index=indexed)
        patient = Patient.objects.filter(subject=erasure.subject).select_related("user").first()
        if patient is not None:
            _patient_delete(erasure, patient, now)
    consents_export(settings.LAKE_URL)
    consents_forget(settings.LAKE_URL)
    return _note(erasure, Erasure.Step.DONE, done_at=now, tombstone_until=now + KAFKA_FORGETS)


def _patient_delete(erasure: Erasure, patient: Patient, now: datetime) -> None:
    organisation, user = patient.organisation_id, patient.user
    ConsentEntry.objects.filter(patient=patient)._raw_delete(using="default")  # append-only but for this
    _, by_table = patient.delete()
    _count(erasure, "database", **{name.lower().replace(".", "_"): n for name, n in by_table.items()})
    if user is not None:
        nobody = f"erased-{secrets.token_hex(8)}"
        blank = {"first_name": "", "last_name": "", "email": "", "is_active": False, "account_id": nobody}
        User.objects.filter(pk=user.pk).update(username=nobody, password=make_password(None), **blank)
        _count(erasure, "database", sign_ins_blanked=1)
    change_record(organisation_id=organisation, kind=Change.Kind.DEVICE, what="erased", now=now)
    change_record(organisation_id=organisation, kind=Change.Kind.CONSENT, what="erased", now=now)


def tombstones_fall(now: datetime) -> int:
    """Look for leftovers once more, then forget the subjects whom Kafka has forgotten too; how many."""
    fallen = Erasure.objects.filter(step=Erasure.Step.DONE, tombstone_until__lte=now).exclude(subject="")
    if not fallen.exists():
        return 0
    for kind in KINDS:
        log_cut(settings.LAKE_URL, kind)
        leftovers_remove(settings.LAKE_URL, kind, now)
    return fallen.update(subject="")


def _count(erasure: Erasure, where: str, **counts: int) -> None:
    """Add to the receipt and keep it: a later run finds less, and must not forget what an earlier one removed."""
    place = erasure.receipt.setdefault(where, {})
    for name, count in counts.items():
        place[name] = place.get(name, 0) + count
    Erasure.objects.filter(pk=erasure.pk).update(receipt=erasure.receipt)


def _count_once(erasure: Erasure, where: str, what: str, count: int) -> None:
    """Add to the receipt unless the same thing was counted before a crash. What it was is kept as a hash."""
    place = erasure.receipt.setdefault(where, {})
    noted = place.setdefault("noted", {})
    noted[hashlib.sha256(what.encode()).hexdigest()[:16]] = count
    place |= {"rows" if where != "archive" else "objects": sum(noted.values())}
    Erasure.objects.filter(pk=erasure.pk).update(receipt=erasure.receipt)


def _note(erasure: Erasure, step: Erasure.Step, **more: object) -> bool:
    Erasure.objects.filter(pk=erasure.pk).update(step=step, **more)
    erasure.refresh_from_db()
    return True
