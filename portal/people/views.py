"""The board, a patient's record, and the patient's own page."""

from collections.abc import Callable
from datetime import datetime
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
from portal.alerts.handover import hand_overs_of
from portal.alerts.selectors import alerts_for, cursor_of
from portal.alerts.wording import plain_label
from portal.archive.selectors import archived_text
from portal.charts.periods import CHOICES, BadPeriod, period_of
from portal.charts.tables import tables_of
from portal.monitoring.selectors import plan_of
from portal.people.models import Patient
from portal.people.selectors import BOARD_VITALS, Bedside, bedsides, board_of
from portal.personal.selectors import own_range
from portal.pipeline.latest import monitoring_delayed, progress_read
from portal.watchdog.services import unproven_since

PATIENT_VITALS = ("heart_rate", "spo2", "respiratory_rate", "temperature", "systolic", "weight", "glucose", "battery")
CHARTED = ("heart_rate", "spo2", "respiratory_rate", "temperature", "systolic", "diastolic")
GROUPS: dict[str, tuple[str, Callable[[Bedside], bool]]] = {
    "all": ("All patients", lambda bedside: True),
    "unanswered": ("Unanswered alert", lambda bedside: bool(bedside.unanswered)),
    "answered": ("Answered, not closed", lambda bedside: bool(bedside.alerts) and not bedside.unanswered),
    "no-data": ("No fresh data", lambda bedside: bedside.watched and bedside.no_data),
    "not-watched": ("Not watched now", lambda bedside: not bedside.watched),
}


@login_required
def home(request: HttpRequest) -> HttpResponse:
    if request.user.is_clinician:
        return redirect("board")
    return redirect("me" if request.user.is_patient else "admin:index")


@login_required
@never_cache
def board(request: HttpRequest) -> HttpResponse:
    """The patients of this clinician's teams in order of risk; for htmx only the part that moves.

    `?show=` is one of GROUPS and `?q=` a part of a name. The counts are of everybody, so that a narrow list hides no
    alert.
    """
    if not request.user.is_clinician:
        raise PermissionDenied("The board is for clinicians.")
    now = timezone.now()
    search, show = request.GET.get("q", "").strip(), request.GET.get("show", "all")
    show = show if show in GROUPS else "all"
    cursor = cursor_of(request.user)  # before the rows: what changes in between is looked at once more
    everybody = board_of(request.user, now)
    context = {
        "now": now,
        "cursor": cursor,
        "search": search,
        "show": show,
        "groups": [(name, label, sum(map(belongs, everybody))) for name, (label, belongs) in GROUPS.items()],
        "unanswered": sum(map(GROUPS["unanswered"][1], everybody)),
        "columns": BOARD_VITALS.values(),
        "patients": [b for b in everybody if GROUPS[show][1](b) and search.casefold() in b.patient.name.casefold()],
        "hand_overs": hand_overs_of(request.user),
        **_delay(now),
    }
    return render(request, "people/_board.html" if request.htmx else "people/board.html", context)


@login_required
@never_cache
def patient(request: HttpRequest, pk: int) -> HttpResponse:
    if request.user.is_patient:
        get_object_or_404(Patient.objects.visible_to(request.user), pk=pk)
        return redirect("me")
    found = get_object_or_404(Patient.objects.visible_to(request.user).select_related("care_team"), pk=pk)
    return _record(request, found, "patient.html")


@login_required
@never_cache
def me(request: HttpRequest) -> HttpResponse:
    found = get_object_or_404(Patient.objects.visible_to(request.user).select_related("care_team"), user=request.user)
    return _record(request, found, "me.html")


def _record(request: HttpRequest, found: Patient, template: str) -> HttpResponse:
    now, user = timezone.now(), request.user
    cursor = cursor_of(user)
    bedside = bedsides([found], now, PATIENT_VITALS)[0]
    context: dict[str, Any] = {
        "patient": found,
        "now": now,
        "cursor": cursor,
        "bedside": bedside,
        # What the plan asks for is shown also where there is nothing: "no data" is never left out.
        "tiles": [v for v in bedside.values if v.text or v.due],
        **_delay(now),
    }
    if request.htmx:
        return render(request, f"people/_now_{template}", context)
    context |= {
        "plan": plan_of(found, now),
        "own_range": own_range(found, now),
        "devices": found.assignments.filter(ended_at__isnull=True).select_related("device"),
        "past_alerts": alerts_for(user, ["closed"]).filter(episode__patient=found)[:10],
        **_history(request, found, user, bedside.consented, now),
    }
    return render(request, f"people/{template}", context)


def _history(request: HttpRequest, found: Patient, user: User, consented: bool, now: datetime) -> dict[str, Any]:
    """Which charts, or tables, of which period the address asks for."""
    added = [v for v in request.GET.getlist("vital") if v in NUMBERS and v not in CHARTED]
    vitals = [*CHARTED, *added]
    labels = {v: plain_label(v) if user.is_patient else VITALS[v].label for v in NUMBERS}
    context = {
        "periods": [(name, label) for name, (label, _) in CHOICES.items()],
        "charts": [(v, labels[v]) for v in vitals],
        "others": [(v, labels[v]) for v in NUMBERS if v not in vitals],
        "added": added,
        "as_table": request.GET.get("view") == "table",
    }
    try:
        context["period"] = period_of(request.GET, now=now, zone=ZoneInfo(user.time_zone))
    except BadPeriod as error:
        return context | {"problem": str(error)}
    if consented:
        context["archived"] = archived_text(found, context["period"].start, context["period"].end)
    if context["as_table"] and consented:
        tables = tables_of(found, vitals, context["period"])
        context["tables"] = [(labels[v], table) for v, table in zip(vitals, tables, strict=True)]
    return context


def _delay(now: datetime) -> dict[str, Any]:
    """Whether the pipeline is late or alerts are not proven to arrive, and since when, if that is known."""
    unproven = {"unproven_since": unproven_since(now)}
    try:
        delayed = monitoring_delayed(now)
        return {"delayed": delayed, "reached": progress_read() if delayed else None, **unproven}
    except redis.RedisError:
        return {"delayed": True, "reached": None, **unproven}
