"""Pages for operators: how far the path has come, and what the door has refused."""

import redis
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from ingestion.replay import REASONS
from portal.operations.access import operators_only
from portal.operations.refusals import tallies
from portal.operations.status import status_read
from portal.operations.wording import MEANING, MENDED_BY


@operators_only
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    try:
        found, problem = status_read(now), ""
    except redis.RedisError:
        found, problem = None, "Redis does not answer, so the state of the path is not known."
    context = {"status": found, "problem": problem, "stale": found is not None and found.stale(now), "now": now}
    return render(request, "operations/_status.html" if request.htmx else "operations/status.html", context)


@operators_only
@never_cache
def refused(request: HttpRequest) -> HttpResponse:
    """Refused packets by reason. No payload: what is kept of one lies in Kafka, for the replay alone."""
    try:
        found, problem = tallies(timezone.now()), ""
    except redis.RedisError:
        found, problem = [], "Redis does not answer. `manage.py refused` counts in the log itself."
    reasons = [
        {
            "tally": tally,
            "meaning": MEANING.get(tally.reason, ""),
            "mended_by": MENDED_BY.get(tally.reason, ""),
            "replay": tally.reason in REASONS,
        }
        for tally in found
    ]
    return render(request, "operations/refused.html", {"reasons": reasons, "problem": problem})
