"""Plans in the admin site. Saving one writes a new version through the service, as the page in the portal does."""

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal.accounts.models import Role, User
from portal.accounts.rows import Rows
from portal.monitoring.models import Plan, PlanContact, PlanLimit, PlanResponder, PlanVital
from portal.monitoring.services import Bounds, Contact, Draft, plan_write


class PlanVitalInline(Rows):
    model = PlanVital
    extra = 1


class PlanLimitInline(Rows):
    model = PlanLimit
    fields = ("vital", "low", "high", "reason", "ends_at")
    extra = 1


class PlanResponderInline(Rows):
    model = PlanResponder
    extra = 1

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["queryset"] = User.objects.filter(role=Role.CLINICIAN, is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class PlanContactInline(Rows):
    model = PlanContact
    extra = 1


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    """`save_model` keeps nothing: the whole form becomes a draft once its rows are known, in `save_related`."""

    inlines = [PlanVitalInline, PlanLimitInline, PlanResponderInline, PlanContactInline]
    list_display = ("patient", "reason", "version", "in_force_from", "in_force_to", "author")
    list_filter = ("news2",)
    search_fields = ("patient__name", "reason")
    exclude = ("version", "author", "in_force_from", "in_force_to")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        in_force = obj is None or obj.in_force_to is None
        return in_force and super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Plan, form: ModelForm, change: bool) -> None:
        pass

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: list[Any], change: bool) -> None:
        vitals, limits, responders, contacts = (
            [f.cleaned_data for f in formset.forms if f.cleaned_data and not f.cleaned_data.get("DELETE")]
            for formset in formsets
        )
        plan = form.instance
        draft = Draft(
            reason=plan.reason,
            starts_at=plan.starts_at,
            ends_at=plan.ends_at,
            news2=plan.news2,
            weight_gain=plan.weight_gain,
            paused_from=plan.paused_from,
            paused_to=plan.paused_to,
            pause_reason=plan.pause_reason,
            vitals={row["vital"]: row["due_every_minutes"] for row in vitals},
            limits={row["vital"]: Bounds(row["low"], row["high"], row["reason"], row["ends_at"]) for row in limits},
            responders=[(row["user"], row["within_minutes"]) for row in responders],
            contacts=[Contact(row["relation"], row["name"], row["phone"]) for row in contacts],
        )
        written = plan_write(patient=plan.patient, draft=draft, author=request.user, now=timezone.now())
        form.instance.pk = written.pk

    def construct_change_message(self, request: HttpRequest, form: ModelForm, formsets: Any, add: bool = False) -> list:
        return [{"added": {"name": "version", "object": str(form.instance)}}]  # no row was changed: a version is new

    def response_add(self, request: HttpRequest, obj: Plan, post_url_continue: str | None = None) -> HttpResponse:
        return redirect("admin:monitoring_plan_changelist")

    def response_change(self, request: HttpRequest, obj: Plan) -> HttpResponse:
        return redirect("admin:monitoring_plan_changelist")
