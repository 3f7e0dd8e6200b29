"""Chart data of one patient: one vital over one period, from the lake."""

from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.cache import never_cache

from analytics.history import Series, series
from ingestion.vitals import NUMBERS, VITALS
from portal.charts.figures import figure
from portal.charts.periods import BadPeriod, period_of
from portal.consent.models import Purpose
from portal.consent.selectors import has_consent
from portal.monitoring.selectors import plan_of
from portal.people.models import Patient


@login_required
@never_cache
def chart(request: HttpRequest, pk: int) -> JsonResponse:
    """`{"vital", "label", "count", "text", "figure"}`; 404 for whom this user may not see."""
    patient = get_object_or_404(Patient.objects.visible_to(request.user).select_related("organisation"), pk=pk)
    vital = request.GET.get("vital", "")
    if vital not in NUMBERS:
        return JsonResponse({"error": "Choose one of the vitals: " + ", ".join(NUMBERS)}, status=400)
    if not has_consent(patient, Purpose.CARE):
        return JsonResponse({"error": "This person has withdrawn consent to care."}, status=403)
    now, zone = timezone.now(), ZoneInfo(request.user.time_zone)
    try:
        period = period_of(request.GET, now=now, zone=zone)
    except BadPeriod as error:
        return JsonResponse({"error": str(error)}, status=400)
    found = series(
        settings.LAKE_URL,
        organisation=patient.organisation.key,
        subject=patient.subject,
        vitals=[vital],
        start=period.start,
        end=period.end,
    )[vital]
    plan = plan_of(patient, now)
    limit = next((x for x in plan.limits.all() if x.vital == vital), None) if plan else None
    drawn = figure(found, zone=zone, low=limit.low if limit else None, high=limit.high if limit else None)
    return JsonResponse(
        {
            "vital": vital,
            "label": VITALS[vital].label,
            "count": found.count,
            "text": summary(found),
            "figure": drawn,
        }
    )


def summary(found: Series) -> str:
    """The chart in words, for those who do not see it."""
    vital = VITALS[found.vital]
    if found.count == 0:
        return "No readings in this period."
    low, high, mean = np.nanmin(found.lows), np.nanmax(found.highs), np.nanmean(found.values)
    shown = [f"{x:.{vital.decimals}f}" for x in (low, high, mean)]
    readings = "reading" if found.count == 1 else "readings"
    return f"{found.count:,} {readings}, from {shown[0]} to {shown[1]} {vital.unit}, on average {shown[2]}."
