"""The board, a patient's record, and the patient's own page."""

from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import redis
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from ingestion.vitals import NUMBERS, VITALS
from portal.accounts.models import User
from portal.alerts.selectors import alerts_for, cursor_of
from portal.charts.periods import CHOICES, BadPeriod, period_of
from portal.monitoring.selectors import plan_of
from portal.people.models import Patient
from portal.people.selectors import Bedside, bedsides, board_of
from portal.pipeline.latest import monitoring_delayed, progress_read

PATIENT_VITALS = ("heart_rate", "spo2", "respiratory_rate", "temperature", "systolic", "weight", "glucose", "battery")
CHARTED = ("heart_rate", "spo2", "respiratory_rate", "temperature", "systolic")


@login_required
def home(request: HttpRequest) -> HttpResponse:
    if request.user.is_clinician:
        return redirect("board")
    return redirect("me" if request.user.is_patient else "admin:index")


@login_required
@never_cache
def board(request: HttpRequest) -> HttpResponse:
    """All patients of this clinician's teams in order of risk; for htmx only the part that moves."""
    if not request.user.is_clinician:
        raise PermissionDenied("The board is for clinicians.")
    now = timezone.now()
    search = request.GET.get("q", "").strip()
    cursor = cursor_of(request.user)  # before the rows: what changes in between is looked at once more
    context: dict[str, Any] = {"now": now, "search": search, "cursor": cursor}
    try:
        patients = board_of(request.user, now, search)
        context |= {"patients": patients, "counts": _counts(patients), **_delay(now)}
    except redis.RedisError:
        context |= {"patients": [], "counts": Counter(), "delayed": True, "unknown": True}
    template = "people/_board.html" if request.htmx else "people/board.html"
    return render(request, template, context)


@login_required
@never_cache
def patient(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Patient.objects.visible_to(request.user).select_related("care_team"), pk=pk)
    if request.user.is_patient:
        return redirect("me")
    return _record(request, found, "people/patient.html")


@login_required
@never_cache
def me(request: HttpRequest) -> HttpResponse:
    found = get_object_or_404(Patient.objects.visible_to(request.user).select_related("care_team"), user=request.user)
    return _record(request, found, "people/me.html")


def _record(request: HttpRequest, found: Patient, template: str) -> HttpResponse:
    now = timezone.now()
    user: User = request.user
    try:
        period, problem = period_of(request.GET, now=now, zone=ZoneInfo(user.time_zone)), ""
    except BadPeriod as error:
        period, problem = None, str(error)
    context: dict[str, Any] = {
        "patient": found,
        "now": now,
        "cursor": cursor_of(user),
        "plan": plan_of(found, now),
        "period": period,
        "problem": problem,
        "periods": [(name, label) for name, (label, _) in CHOICES.items()],
        "charts": _charted(request, found, now),
        "others": [(n, VITALS[n].label) for n in NUMBERS if n not in CHARTED],
        "devices": found.assignments.filter(ended_at__isnull=True).select_related("device"),
        "past_alerts": alerts_for(user, ["closed"]).filter(episode__patient=found)[:10],
    }
    try:
        context |= {"bedside": bedsides([found], now, PATIENT_VITALS)[0], **_delay(now)}
    except redis.RedisError:
        context |= {"bedside": None, "delayed": True, "unknown": True}
    if request.htmx:
        template = template.replace("people/", "people/_now_")
    return render(request, template, context)


def _charted(request: HttpRequest, found: Patient, now: Any) -> list[tuple[str, str]]:
    more = [v for v in request.GET.getlist("vital") if v in NUMBERS and v not in CHARTED]
    return [(v, "Systolic blood pressure" if v == "systolic" else VITALS[v].label) for v in (*CHARTED, *more)]


def _delay(now: Any) -> dict[str, Any]:
    delayed = monitoring_delayed(now)
    return {"delayed": delayed, "reached": progress_read() if delayed else None}


def _counts(patients: list[Bedside]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for bedside in patients:
        counts["all"] += 1
        counts["unanswered"] += bool(bedside.unanswered)
        counts["answered"] += bool(bedside.alerts) and not bedside.unanswered
        counts["no_data"] += bedside.no_data and bedside.watched
        counts["not_watched"] += not bedside.watched
    return counts
