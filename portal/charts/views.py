"""Chart data of one patient: some vitals over one period, read from the lake at once."""

from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.cache import never_cache

from ingestion.vitals import NUMBERS
from portal.charts.figures import figure
from portal.charts.periods import BadPeriod, period_of
from portal.charts.selectors import history_of
from portal.charts.tables import summary
from portal.consent.models import Purpose
from portal.consent.selectors import has_consent
from portal.monitoring.selectors import plan_of
from portal.people.models import Patient

POINTS = 600


@login_required
@never_cache
def charts(request: HttpRequest, pk: int) -> JsonResponse:
    """`{"charts": {vital: {"count", "text", "figure"}}}` for each `?vital=`; 404 for whom this user may not see."""
    patient = get_object_or_404(Patient.objects.visible_to(request.user).select_related("organisation"), pk=pk)
    vitals = request.GET.getlist("vital")
    if not vitals or not set(vitals) <= set(NUMBERS):
        return JsonResponse({"error": "Choose some of the vitals: " + ", ".join(NUMBERS)}, status=400)
    if not has_consent(patient, Purpose.CARE):
        return JsonResponse({"error": "Consent to care is not given, so nothing is shown."}, status=403)
    now, zone = timezone.now(), ZoneInfo(request.user.time_zone)
    try:
        period = period_of(request.GET, now=now, zone=zone)
    except BadPeriod as error:
        return JsonResponse({"error": str(error)}, status=400)
    plan = plan_of(patient, now)
    limits = {limit.vital: (limit.low, limit.high) for limit in plan.limits.all()} if plan else {}
    drawn = {}
    for vital, found in history_of(patient, vitals, period, POINTS).items():
        low, high = limits.get(vital, (None, None))
        shown = figure(found, zone=zone, low=low, high=high)
        drawn[vital] = {"count": found.count, "text": summary(found), "figure": shown}
    return JsonResponse({"charts": drawn})
