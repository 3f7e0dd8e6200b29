"""Chart data of one patient: one vital over one period, from the lake."""

from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.cache import never_cache

from ingestion.vitals import NUMBERS, VITALS
from portal.archive.selectors import archived_text
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
def chart(request: HttpRequest, pk: int) -> JsonResponse:
    """`{"vital", "label", "count", "text", "figure"}`; 404 for whom this user may not see."""
    patient = get_object_or_404(Patient.objects.visible_to(request.user).select_related("organisation"), pk=pk)
    vital = request.GET.get("vital", "")
    if vital not in NUMBERS:
        return JsonResponse({"error": "Choose one of the vitals: " + ", ".join(NUMBERS)}, status=400)
    if not has_consent(patient, Purpose.CARE):
        return JsonResponse({"error": "Consent to care is not given, so nothing is shown."}, status=403)
    now, zone = timezone.now(), ZoneInfo(request.user.time_zone)
    try:
        period = period_of(request.GET, now=now, zone=zone)
    except BadPeriod as error:
        return JsonResponse({"error": str(error)}, status=400)
    found = history_of(patient, [vital], period, POINTS)[vital]
    plan = plan_of(patient, now)
    limit = next((x for x in plan.limits.all() if x.vital == vital), None) if plan else None
    drawn = figure(found, zone=zone, low=limit.low if limit else None, high=limit.high if limit else None)
    label = VITALS[vital].label
    text = " ".join(filter(None, [summary(found), archived_text(patient, period.start, period.end)]))
    return JsonResponse({"vital": vital, "label": label, "count": found.count, "text": text, "figure": drawn})
