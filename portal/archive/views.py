"""A person's readings in the archive: what is there, asking for it, and reading what came back."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from ingestion.cold import NotReady
from portal.archive.models import Request
from portal.archive.selectors import quarters_of, requests_of
from portal.archive.services import csv_lines, expected_wait, readings_of, request_make
from portal.archive.wording import wait_text
from portal.consent.models import Purpose
from portal.consent.selectors import has_consent
from portal.people.models import Patient

EVER = (datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def archive(request: HttpRequest, pk: int) -> HttpResponse:
    patient = get_object_or_404(Patient.objects.visible_to(request.user).distinct(), pk=pk)
    problem = ""
    if request.method == "POST":
        try:
            first, last = (date.fromisoformat(request.POST.get(name, "")) for name in ("first", "last"))
            request_make(patient=patient, first=first, last=last, by=request.user, now=timezone.now())
            messages.success(request, "It was asked for. This page says when it is ready, and so does an e-mail.")
            return redirect("archive", pk=pk)
        except ValidationError as error:
            problem = error.message
        except ValueError:
            problem = "Write both days as year-month-day, for example 2026-03-01."
    consented = has_consent(patient, Purpose.CARE)
    context = {
        "patient": patient,
        "consented": consented,
        "problem": problem,
        "requests": requests_of(patient) if consented else [],
    }
    if request.htmx:
        return render(request, "archive/_requests.html", context)
    context |= {"quarters": quarters_of(patient, *EVER) if consented else [], "wait_text": wait_text(expected_wait())}
    return render(request, "archive/archive.html", context, status=400 if problem else 200)


@login_required
@never_cache
@require_GET
def readings(request: HttpRequest, pk: int) -> HttpResponse:
    """What a request brought back, as CSV; 404 for whom the reader may not see, or once it has gone again."""
    found = get_object_or_404(
        Request.objects.filter(patient__in=Patient.objects.visible_to(request.user), state=Request.State.READY), pk=pk
    )
    if not has_consent(found.patient, Purpose.CARE):
        raise Http404("Consent to care is not given.")
    try:
        rows = readings_of(found, timezone.now())
    except NotReady:
        raise Http404("It is no longer ready: ask again.") from None
    answer = StreamingHttpResponse(csv_lines(rows, ZoneInfo(request.user.time_zone)), content_type="text/csv")
    answer["Content-Disposition"] = f'attachment; filename="readings-{found.first}-{found.last}.csv"'
    return answer
