"""Context of a person, for the person and the care team; and what models in shadow would have raised."""

from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.people.models import Patient
from portal.personal.context import tag_add, tag_end
from portal.personal.forms import ContextForm
from portal.personal.models import ContextTag
from portal.personal.selectors import shadow_of


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def context(request: HttpRequest, pk: int) -> HttpResponse:
    """Tell of illness, travel, alcohol, exercise or a vaccination, and say when it is over."""
    patient = get_object_or_404(Patient.objects.visible_to(request.user), pk=pk)
    now, action = timezone.now(), request.POST.get("action")
    form = ContextForm(request.POST if action == "add" else None, now=timezone.localtime(now))
    if action == "end":
        number = request.POST.get("tag", "")
        if not number.isdecimal():
            return HttpResponseBadRequest("Choose what is over.")
        tag_end(tag=get_object_or_404(ContextTag, patient=patient, pk=number), by=request.user, now=now)
        messages.success(request, "It is over: unusual values alert again.")
        return redirect("context", pk=pk)
    if action == "add" and form.is_valid():
        try:
            tag_add(patient=patient, by=request.user, now=now, **form.told())
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, "Thank you, it is noted.")
            return redirect("context", pk=pk)
    if request.method == "POST" and action not in ("add", "end"):
        return HttpResponseBadRequest("Choose to save something, or to end it.")
    tags = ContextTag.objects.filter(patient=patient, until__gt=now).select_related("by")
    shown = {"patient": patient, "form": form, "tags": tags}
    return render(request, "personal/context.html", shown, status=422 if request.method == "POST" else 200)


@login_required
@never_cache
def shadow(request: HttpRequest) -> HttpResponse:
    """What models in shadow would have raised for this clinician's patients, beside what really alerted."""
    if not request.user.is_clinician:
        raise PermissionDenied("Models in shadow are shown to clinicians.")
    now = timezone.now()
    shown = {"rows": shadow_of(request.user, now - timedelta(days=14), now)}
    return render(request, "personal/shadow.html", shown)
