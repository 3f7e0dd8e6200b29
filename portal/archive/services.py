"""Asking for readings that are in the archive, and bringing them back.

A request moves asked -> restoring -> ready -> expired. Each move first does what may be done twice (asking the store
again, reading an object again) and then notes it by a conditional update, so a worker may die between any two lines.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse

from ingestion.cold import State
from ingestion.cold.objects import unpack
from ingestion.cold.store import KEPT_DAYS
from ingestion.instants import microseconds
from ingestion.lake.schema import unique
from portal.accounts.models import User
from portal.archive.cold import cold_store
from portal.archive.models import Request, WantedPart
from portal.archive.selectors import parts_of
from portal.consent.models import Purpose
from portal.consent.selectors import has_consent
from portal.people.models import Patient

log = logging.getLogger(__name__)

Passing = Callable[[str], None]
OPEN = (Request.State.ASKED, Request.State.RESTORING)
# How long S3 takes at most, as its documentation says, by storage class and tier.
WAITS = {
    ("GLACIER", "Expedited"): timedelta(minutes=5),
    ("GLACIER", "Standard"): timedelta(hours=5),
    ("GLACIER", "Bulk"): timedelta(hours=12),
    ("DEEP_ARCHIVE", "Standard"): timedelta(hours=12),
    ("DEEP_ARCHIVE", "Bulk"): timedelta(hours=48),
}


def expected_wait() -> timedelta:
    """How long somebody who asks now should expect to wait, at most."""
    if settings.LAKE_URL.startswith("s3://"):
        return WAITS.get((settings.ARCHIVE_STORAGE_CLASS, settings.ARCHIVE_TIER), timedelta())
    return timedelta(seconds=settings.ARCHIVE_FOLDER_WAIT_S)


def request_make(*, patient: Patient, first: date, last: date, by: User, now: datetime) -> Request:
    """Ask for the single readings of these days, in the reader's time zone, the last one included.

    Whoever asks for the same days again while they are on their way, or ready, gets the same request. Raises
    ValidationError if nothing of these days is in the archive, or consent to care is not given.
    """
    if last < first:
        raise ValidationError("The last day must not be before the first.")
    if not has_consent(patient, Purpose.CARE):
        raise ValidationError("Consent to care is not given, so nothing is brought back.")
    parts = parts_of(patient, *_span(first, last, by))
    if not parts:
        raise ValidationError("Nothing of these days is in the archive. What is not there is in the charts.")
    with transaction.atomic():
        Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)  # two who ask at once wait for each other
        same = patient.archive_requests.filter(first=first, last=last, state__in=[*OPEN, Request.State.READY]).first()
        if same is not None:
            return same
        request = Request.objects.create(
            patient=patient, asked_by=by, first=first, last=last, asked_at=now, expected_at=now + expected_wait()
        )
        WantedPart.objects.bulk_create(WantedPart(request=request, part=part) for part in parts)
    return request


def requests_advance(now: datetime, passing: Passing = lambda place: None) -> int:
    """Move every request on as far as it goes now; how many are still on their way."""
    open_requests = Request.objects.filter(state__in=[*OPEN, Request.State.READY]).order_by("pk")
    for request in open_requests.prefetch_related("wanted__part"):
        if request.state == Request.State.ASKED:
            _ask(request, now, passing)
        if request.state == Request.State.RESTORING:
            _look(request, now, passing)
        if request.state == Request.State.READY:
            _tell_or_expire(request, now, passing)
    return Request.objects.filter(state__in=OPEN).count()


def _ask(request: Request, now: datetime, passing: Passing) -> None:
    store = cold_store()
    for wanted in request.wanted.all():
        store.ask(wanted.part.key, now)
        passing("restore_asked")
    _move(request, Request.State.RESTORING)
    passing("restore_noted")


def _look(request: Request, now: datetime, passing: Passing) -> None:
    store = cold_store()
    waiting = 0
    for wanted in request.wanted.all():
        if wanted.ready_at is not None:
            continue
        state = store.state(wanted.part.key, now)
        if state is State.ARCHIVED:  # it came back earlier and has gone again, or the asking was lost
            store.ask(wanted.part.key, now)
            state = store.state(wanted.part.key, now)
        if state is State.GONE:
            log.critical("an object of archive request %d is gone", request.pk)
            _move(request, Request.State.FAILED)
            return
        if state is State.READY:
            WantedPart.objects.filter(pk=wanted.pk, ready_at__isnull=True).update(ready_at=now)
            passing("restore_part_ready")
        else:
            waiting += 1
    if not waiting:
        _move(request, Request.State.READY, ready_at=now, expires_at=now + timedelta(days=KEPT_DAYS))
        passing("restore_ready")


def _tell_or_expire(request: Request, now: datetime, passing: Passing) -> None:
    if request.expires_at is not None and now >= request.expires_at:
        _move(request, Request.State.EXPIRED)
    elif request.told_at is None:
        _tell(request)
        passing("restore_told")
        Request.objects.filter(pk=request.pk, told_at__isnull=True).update(told_at=now)


def _tell(request: Request) -> None:
    """By e-mail, without health data. Killed between sending and noting it, it is sent again under the same id."""
    if not request.asked_by.email:
        return
    address = settings.PORTAL_URL + reverse("archive", args=[request.patient_id])
    message = EmailMessage(
        "What you asked for is ready",
        f"What you asked for on {request.asked_at:%-d %B} can be read until {request.expires_at:%-d %B}.\n"
        f"Sign in to see it: {address}\n",
        to=[request.asked_by.email],
        headers={"Message-ID": f"<archive-{request.pk}@wellrange>"},
    )
    message.send()


def _move(request: Request, state: Request.State, **more: datetime) -> None:
    Request.objects.filter(pk=request.pk, state=request.state).update(state=state, **more)
    request.refresh_from_db(fields=["state", "expires_at", "told_at"])


def readings_of(request: Request, now: datetime) -> pa.Table:
    """The readings a request has brought back (READING_SCHEMA), each once, by time. Raises cold.NotReady."""
    store = cold_store()
    start, end = _span(request.first, request.last, request.asked_by)
    parts = [unpack(store.get(wanted.part.key, now)) for wanted in request.wanted.all()]
    rows = pa.concat_tables(parts)
    sealed = rows.append_column("sealed_at", pa.nulls(rows.num_rows, pa.timestamp("us", "UTC")))
    once = unique(sealed).drop_columns(["sealed_at"])
    times = once["measured_at"].cast(pa.int64()).to_numpy()
    inside = (times >= microseconds(start)) & (times < microseconds(end))
    return once.filter(pa.array(inside))


def _span(first: date, last: date, user: User) -> tuple[datetime, datetime]:
    zone = ZoneInfo(user.time_zone)
    return datetime.combine(first, time(), zone), datetime.combine(last + timedelta(days=1), time(), zone)


def csv_lines(rows: pa.Table, zone: ZoneInfo) -> Iterator[str]:
    """A CSV of what was measured, with local times; vitals that were never measured are left out."""
    from ingestion.vitals import VITALS

    vitals = [v for v in VITALS if rows[v].null_count < rows.num_rows]
    yield ",".join(["measured_at", "device_id", *vitals]) + "\n"
    for row in rows.select(["measured_at", "device_id", *vitals]).to_pylist():
        values = ["" if row[v] is None else str(row[v]) for v in vitals]
        device = '"' + row["device_id"].replace('"', '""') + '"'
        yield ",".join([row["measured_at"].astimezone(zone).isoformat(), device, *values]) + "\n"
