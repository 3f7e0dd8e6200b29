"""The monitoring plan of a patient: to read for the patient, to write for the care team."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.alerts.wording import cause_label
from portal.monitoring.forms import PauseForm, PlanForm
from portal.monitoring.models import Preview
from portal.monitoring.preview import preview_ask
from portal.monitoring.selectors import plan_of
from portal.monitoring.services import plan_end, plan_pause, plan_resume, plan_write
from portal.people.models import Patient


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def plan(request: HttpRequest, pk: int) -> HttpResponse:
    patient = get_object_or_404(Patient.objects.visible_to(request.user), pk=pk)
    now = timezone.now()
    in_force = plan_of(patient, now)
    if request.method == "GET":
        return _page(request, patient, in_force, PlanForm(patient=patient, plan=in_force, now=now), PauseForm())
    if not request.user.is_clinician:
        raise PermissionDenied("Only the care team may change the plan.")
    form, pause = PlanForm(patient=patient, plan=in_force, now=now), PauseForm()
    done = ""
    try:
        match request.POST.get("action"):
            case "pause":
                pause = PauseForm(request.POST)
                if pause.is_valid():
                    reason, until = pause.cleaned_data["reason"], pause.cleaned_data["until"]
                    plan_pause(patient=patient, reason=reason, until=until, author=request.user, now=now)
                    done = "Monitoring is paused."
            case "resume":
                plan_resume(patient=patient, author=request.user, now=now)
                done = "Monitoring goes on."
            case "end":
                plan_end(patient=patient, author=request.user, now=now)
                done = "Monitoring has ended."
            case "preview" | "preview_team" as which:
                form = PlanForm(request.POST, patient=patient, plan=in_force, now=now)
                if form.is_valid():
                    asked = preview_ask(
                        patient=patient,
                        draft=form.draft(),
                        whole_team=which == "preview_team",
                        form={k: v for k, v in request.POST.items() if k not in ("csrfmiddlewaretoken", "action")},
                        by=request.user,
                        now=now,
                    )
                    return redirect("plan-preview", pk=pk, preview=asked.pk)
            case _:
                form = PlanForm(request.POST, patient=patient, plan=in_force, now=now)
                if form.is_valid():
                    plan_write(patient=patient, draft=form.draft(), author=request.user, now=now)
                    done = "The plan is in force."
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    if done:
        messages.success(request, done)
        return redirect("plan", pk=pk)
    return _page(request, patient, in_force, form, pause, status=422)


@login_required
@never_cache
def preview(request: HttpRequest, pk: int, preview: int) -> HttpResponse:
    """What would have fired; until it is worked out, the page asks again every two seconds."""
    patient = get_object_or_404(Patient.objects.visible_to(request.user), pk=pk)
    if not request.user.is_clinician:
        raise PermissionDenied("Only the care team sees previews.")
    found = get_object_or_404(Preview, pk=preview, patient=patient)
    rows = []
    if found.result:
        causes = sorted({*found.result["before"]["causes"], *found.result["after"]["causes"]})
        rows = [
            {
                "cause": cause_label(cause),
                "before": found.result["before"]["causes"].get(cause, 0),
                "after": found.result["after"]["causes"].get(cause, 0),
            }
            for cause in causes
        ]
    context = {"patient": patient, "preview": found, "rows": rows, "result": found.result}
    return render(request, "monitoring/preview.html", context)


def _page(
    request: HttpRequest, patient: Patient, in_force: object, form: PlanForm, pause: PauseForm, status: int = 200
) -> HttpResponse:
    context = {
        "patient": patient,
        "plan": in_force,
        "form": form,
        "pause": pause,
        "now": timezone.now(),
        "versions": patient.plans.select_related("author")[:20],
        "active": in_force is not None and in_force.is_active(timezone.now()),
        "paused": in_force is not None and in_force.is_paused(timezone.now()),
    }
    return render(request, "monitoring/plan.html", context, status=status)
