"""The door's snapshot of devices, persons and consent, kept fresh by the changes since its cursor."""

import logging
import time
from collections.abc import Iterable
from datetime import datetime

from django.db import Error, close_old_connections
from django.db.models import Max

from ingestion.door import FOREVER, Belonging, Directory, Person, directory
from ingestion.instants import microseconds
from portal.consent.models import ConsentEntry, Purpose
from portal.devices.models import Assignment, Device
from portal.people.following import Follower
from portal.people.models import Change, Patient

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0  # a withdrawal is in force at the door within this time and a batch
RELOAD_EVERY_S = 60.0  # everything anew, in case somebody wrote to the database past the services
MATTERS = (Change.Kind.DEVICE, Change.Kind.CONSENT, Change.Kind.PATIENT)


class LiveDirectory:
    """Call it with the time: gives the snapshot and when it was last known to be true.

    While the database does not answer, the snapshot stays and its age grows; the door then waits (see `doorway`).
    """

    def __init__(self) -> None:
        self._snapshot: Directory | None = None
        self._true_at: datetime | None = None
        self._changes = Follower(MATTERS)
        self._must_load = True
        self._looked = self._loaded = float("-inf")

    def __call__(self, now: datetime) -> tuple[Directory, datetime]:
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            try:
                close_old_connections()
                self._refresh()
                self._true_at = now
            except Error:
                if self._snapshot is None:
                    raise
                log.warning("the database does not answer: keeping the directory of %s", self._true_at)
        if self._snapshot is None or self._true_at is None:
            raise RuntimeError("the directory was never loaded")
        return self._snapshot, self._true_at

    def _refresh(self) -> None:
        if self._changes.changed() or time.monotonic() - self._loaded >= RELOAD_EVERY_S:
            self._must_load = True  # and stays so if the database goes away before everything is read
        if self._must_load:
            self._snapshot = load()
            self._loaded, self._must_load = time.monotonic(), False


def load() -> Directory:
    """The whole directory as the database has it now."""
    belongings = list(_belongings())  # first: whom and what they name is then among what is read after them
    return directory(Device.objects.values_list("device_id", flat=True), belongings, _persons())


def _persons() -> Iterable[Person]:
    newest = ConsentEntry.objects.filter(purpose=Purpose.CARE).values("patient").annotate(pk=Max("pk")).values("pk")
    consents = {
        patient: (given, sequence)
        for patient, given, sequence in ConsentEntry.objects.filter(pk__in=newest).values_list(
            "patient_id", "given", "sequence"
        )
    }
    people = Patient.objects.values_list("pk", "subject", "organisation__key", "user__account_id")
    for pk, subject, organisation, account in people.iterator():
        given, sequence = consents.get(pk, (False, 0))
        yield Person(subject, organisation, given, sequence, account)


def _belongings() -> Iterable[Belonging]:
    rows = Assignment.objects.values_list("device__device_id", "patient__subject", "started_at", "ended_at")
    for device_id, subject, started_at, ended_at in rows.iterator():
        end = FOREVER if ended_at is None else microseconds(ended_at)
        yield Belonging(device_id, subject, microseconds(started_at), end)
