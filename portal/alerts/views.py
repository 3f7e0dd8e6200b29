"""Alerts: the list, one with its evidence and its life, and the two answers to it."""

from datetime import datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from ingestion.vitals import VITALS
from portal.alerts.models import Alert
from portal.alerts.selectors import UNANSWERED, URGENT_FIRST, alert_for, alerts_for, cursor_of
from portal.alerts.services import AlertConflict, alert_acknowledge, alert_close
from portal.alerts.wording import cause_label, value_text
from portal.consent.models import Purpose
from portal.consent.selectors import consenting, has_consent

SHOWN = 200


@login_required
@never_cache
def alert_list(request: HttpRequest) -> HttpResponse:
    """Open alerts in the order in which they want an answer, or closed ones, newest first."""
    closed, cursor = request.GET.get("state") == "closed", cursor_of(request.user)
    alerts = alerts_for(request.user, [Alert.State.CLOSED] if closed else UNANSWERED)
    shown = list((alerts if closed else alerts.order_by(*URGENT_FIRST))[:SHOWN])
    consented = consenting([a.episode.patient for a in shown], Purpose.CARE)
    context = {
        "rows": [{"alert": a, "consented": a.episode.patient_id in consented} for a in shown],
        "closed": closed,
        "now": timezone.now(),
        "cursor": cursor,
    }
    return render(request, "alerts/_list.html" if request.htmx else "alerts/list.html", context)


@login_required
@never_cache
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, _find(request, pk))


@login_required
@require_POST
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    """Acknowledge or close, with a note. What cannot be done is said on the page, and the note is kept."""
    found, note = _find(request, pk), request.POST.get("note", "")
    do = alert_close if request.POST.get("answer") == "close" else alert_acknowledge
    try:
        done = do(user=request.user, alert=found, note=note, now=timezone.now())
    except AlertConflict as conflict:
        messages.error(request, str(conflict))
        return _page(request, _find(request, pk), note=note, status=409)
    messages.success(request, f"The alert is {done.get_state_display().lower()}.")
    return redirect("alert", pk=pk)


def _find(request: HttpRequest, pk: int) -> Alert:
    try:
        return alert_for(request.user, pk)
    except Alert.DoesNotExist:
        raise Http404("There is no such alert, or it is not yours to see.") from None


def _page(request: HttpRequest, found: Alert, note: str = "", status: int = 200) -> HttpResponse:
    evidence, cursor = found.episode.evidence, cursor_of(request.user)
    context = {
        "alert": found,
        "episode": found.episode,
        "cause": cause_label(found.episode.cause),
        "consented": has_consent(found.episode.patient, Purpose.CARE),
        "values": [
            {
                "label": VITALS[vital].label,
                "text": value_text(vital, value["value"]),
                "measured_at": datetime.fromisoformat(value["measured_at"]),
                "device": value["device_id"],
                "points": value["points"],
            }
            for vital, value in evidence.get("values", {}).items()
        ],
        "events": found.events.select_related("by"),
        "note": note,
        "now": timezone.now(),
        "cursor": cursor,
    }
    return render(request, "alerts/_alert.html" if request.htmx else "alerts/alert.html", context, status=status)
