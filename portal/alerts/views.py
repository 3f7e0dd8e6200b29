"""Alerts: the list, one with its evidence and its life, and the answers to it; and a clinician's own shift."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from ingestion.vitals import VITALS
from portal.alerts.answers import AlertConflict, alert_acknowledge, alert_close, alert_note, alert_snooze
from portal.alerts.burden import burden_of
from portal.alerts.forms import HandOverForm, QuietHoursForm, ResponseForm, SnoozeForm
from portal.alerts.handover import hand_overs_of, shift_hand_over, shift_take_back
from portal.alerts.models import Alert
from portal.alerts.selectors import NOT_CLOSED, URGENT_FIRST, alert_for, alerts_for, cursor_of
from portal.alerts.wording import cause_label, usual_text, value_text
from portal.consent.models import Purpose
from portal.consent.selectors import consenting, has_consent
from portal.monitoring.selectors import plan_of

SHOWN = 200
BURDEN_DAYS = (7, 30, 90)


@login_required
@never_cache
def alert_list(request: HttpRequest) -> HttpResponse:
    """Open alerts in the order in which they want an answer, or closed ones, newest first."""
    closed, cursor = request.GET.get("state") == "closed", cursor_of(request.user)
    alerts = alerts_for(request.user, [Alert.State.CLOSED] if closed else NOT_CLOSED)
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
    """Answer an alert. What cannot be done is said on the page, and what was typed is kept."""
    found, now, user = _find(request, pk), timezone.now(), request.user
    asked, note = request.POST.get("answer"), request.POST.get("note", "")
    snooze = SnoozeForm(request.POST if asked == "snooze" else None, alert=found)
    response = ResponseForm(request.POST if asked == "close" else None)
    if any(form.is_bound and not form.is_valid() for form in (snooze, response)):
        return _page(request, found, note=note, snooze=snooze, response=response, status=422)
    try:
        match asked:
            case "acknowledge":
                done = alert_acknowledge(user=user, alert=found, note=note, now=now)
            case "note":
                done = alert_note(user=user, alert=found, note=note, now=now)
            case "snooze":
                reason = snooze.cleaned_data["reason"]
                done = alert_snooze(user=user, alert=found, until=now + snooze.span, reason=reason, now=now)
            case "close":
                done = alert_close(user=user, alert=found, response=response.responded(), now=now)
            case _:
                return HttpResponseBadRequest("Choose acknowledge, note, snooze or close.")
    except AlertConflict as conflict:
        messages.error(request, str(conflict))
        return _page(request, _find(request, pk), note=note, snooze=snooze, response=response, status=409)
    messages.success(request, f"The alert is {done.get_state_display().lower()}.")
    return redirect("alert", pk=pk)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def shift(request: HttpRequest) -> HttpResponse:
    """Hand the shift over, take it back, and choose quiet hours."""
    if not request.user.is_clinician:
        raise PermissionDenied("Shifts are clinicians'.")
    now, data = timezone.now(), request.POST or None
    action = request.POST.get("action")
    hand_over = HandOverForm(data if action == "hand_over" else None, giver=request.user)
    quiet = QuietHoursForm(data if action == "quiet" else None, instance=request.user)
    done = ""
    try:
        if action == "hand_over" and hand_over.is_valid():
            handed = shift_hand_over(giver=request.user, now=now, **hand_over.cleaned_data)
            done = f"{handed.taker.get_full_name() or handed.taker.username} has your shift."
        elif action == "take_back":
            shift_take_back(giver=request.user, now=now)
            done = "You have your shift again."
        elif action == "quiet" and quiet.is_valid():
            quiet.save()
            done = "Your quiet hours are saved."
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    if done:
        messages.success(request, done)
        return redirect("shift")
    handed_over = hand_overs_of(request.user)
    context = {
        "hand_over": hand_over,
        "quiet": quiet,
        "hand_overs": handed_over,
        "mine": next((h for h in handed_over if h.giver_id == request.user.pk), None),
    }
    return render(request, "alerts/shift.html", context, status=422 if request.method == "POST" else 200)


@login_required
@never_cache
def burden(request: HttpRequest) -> HttpResponse:
    """How many alerts the teams of this clinician get, and what becomes of them."""
    if not request.user.is_clinician:
        raise PermissionDenied("The burden is shown to clinicians.")
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isdecimal() and int(asked) in BURDEN_DAYS else BURDEN_DAYS[1]
    now = timezone.now()
    patient_days, rows = burden_of(request.user, now - timedelta(days=days), now)
    context = {"days": days, "choices": BURDEN_DAYS, "patient_days": patient_days, "rows": rows}
    return render(request, "alerts/burden.html", context)


def _find(request: HttpRequest, pk: int) -> Alert:
    try:
        return alert_for(request.user, pk)
    except Alert.DoesNotExist:
        raise Http404("There is no such alert, or it is not yours to see.") from None


def _page(
    request: HttpRequest,
    found: Alert,
    note: str = "",
    snooze: Form | None = None,
    response: Form | None = None,
    status: int = 200,
) -> HttpResponse:
    evidence, cursor = found.episode.evidence, cursor_of(request.user)
    plan = plan_of(found.episode.patient, timezone.now())
    personal = found.episode.cause.startswith("personal:")
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
            if not personal
        ],
        "unusual": [
            {
                "label": VITALS[vital].label,
                "text": value_text(vital, value["value"]),
                "usual": usual_text(vital, value),
                "share": value["share"],
                "device": value["device_id"],
            }
            for vital, value in sorted(evidence.get("values", {}).items(), key=lambda v: -v[1].get("share", 0))
            if personal
        ],
        "events": found.events.select_related("by"),
        "contacts": plan.contacts.all() if plan else [],
        "note": note,
        "snooze": snooze or SnoozeForm(alert=found),
        "response": response or ResponseForm(),
        "record": getattr(found, "response", None),
        "now": timezone.now(),
        "cursor": cursor,
    }
    return render(request, "alerts/_alert.html" if request.htmx else "alerts/alert.html", context, status=status)
