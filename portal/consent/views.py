"""The patient's own page of consents."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.consent.models import Purpose
from portal.consent.selectors import consents_of
from portal.consent.services import consent_record
from portal.consent.text import TEXTS
from portal.people.models import Patient


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def consent(request: HttpRequest) -> HttpResponse:
    patient = Patient.objects.filter(user=request.user).first()
    if patient is None:
        raise Http404("Only patients have a page of consents.")
    if request.method == "POST":
        purpose, decision = request.POST.get("purpose", ""), request.POST.get("decision")
        if purpose not in Purpose.values or decision not in ("give", "withdraw"):
            return HttpResponseBadRequest("Choose one of the purposes, and whether to give or to withdraw.")
        given = decision == "give"
        consent_record(patient=patient, purpose=Purpose(purpose), given=given, by=request.user, now=timezone.now())
        word = "given" if given else "withdrawn"
        messages.success(request, f"Your consent for “{Purpose(purpose).label.lower()}” is {word}.")
        return redirect("consent")
    entries = consents_of(patient)
    purposes = [{"purpose": p, "text": TEXTS[p], "entry": entries[p]} for p in Purpose]
    history = patient.consent_entries.select_related("by")[:50]
    return render(request, "consent/consent.html", {"purposes": purposes, "history": history})
