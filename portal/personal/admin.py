"""Models and their training in the admin site: versions with their cards, rollback, runs, training on demand."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from analytics.store import UnreadableModel
from portal.alerts.admin import ReadOnly
from portal.personal.models import Activation, ContextTag, KeptBack, ModelVersion, SharedVersion, TrainingRun
from portal.personal.shared import shared_activate
from portal.personal.tasks import learn_shared, train_one_share
from portal.personal.versions import version_activate


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnly, admin.ModelAdmin):
    """A version's page is its model card."""

    list_display = ("name", "share", "state", "people", "data_from", "data_to", "rate", "reason")
    list_filter = ("state", "share")
    actions = ["put_into_force", "train_again"]

    def has_change_permission(self, request: HttpRequest, obj: ModelVersion | None = None) -> bool:
        return obj is None and admin.ModelAdmin.has_change_permission(self, request, obj)  # for the actions

    @admin.display(description="False alerts a week")
    def rate(self, version: ModelVersion) -> Any:
        return version.metrics.get("false_alerts_a_week", "")

    @admin.action(description="Roll back: put the chosen version of each share into force")
    def put_into_force(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        if len({v.share for v in queryset}) < len(queryset):
            messages.error(request, "Choose one version of each share.")
            return
        for version in queryset:
            try:
                version_activate(version=version, why="Put into force by hand", now=timezone.now(), by=request.user)
            except UnreadableModel as error:
                messages.error(request, str(error))
            else:
                messages.success(request, f"{version.name} is in force from the next minute on.")

    @admin.action(description="Train the shares of these versions now")
    def train_again(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        for share in sorted({v.share for v in queryset}):
            train_one_share.delay(share=share)
        messages.success(request, "Training has started: see the training runs.")


@admin.register(SharedVersion)
class SharedVersionAdmin(ReadOnly, admin.ModelAdmin):
    """The part that everybody's nights share; without a version in force it is made of published figures."""

    list_display = ("name", "state", "people", "made_at", "rate", "recall", "reason", "by")
    list_filter = ("state",)
    list_select_related = ("by",)
    actions = ["put_into_force", "learn_again"]

    def has_change_permission(self, request: HttpRequest, obj: SharedVersion | None = None) -> bool:
        return obj is None and admin.ModelAdmin.has_change_permission(self, request, obj)  # for the actions

    @admin.display(description="False alerts a week")
    def rate(self, version: SharedVersion) -> Any:
        return version.metrics.get("false_alerts_a_week", "")

    @admin.display(description="Shifts found")
    def recall(self, version: SharedVersion) -> Any:
        return version.metrics.get("shifts_found", "")

    @admin.action(description="Roll back: have the chosen version judge nights")
    def put_into_force(self, request: HttpRequest, queryset: QuerySet[SharedVersion]) -> None:
        if queryset.count() != 1:
            messages.error(request, "Choose one version.")
            return
        version = queryset.get()
        try:
            shared_activate(version=version, why="Put into force by hand", by=request.user)
        except UnreadableModel as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{version.name} judges nights from now on.")

    @admin.action(description="Learn it anew now")
    def learn_again(self, request: HttpRequest, queryset: QuerySet[SharedVersion]) -> None:
        learn_shared.delay()
        messages.success(request, "Learning has started: see the training runs.")


@admin.register(Activation)
class ActivationAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("share", "version", "since", "by", "why")
    list_filter = ("share",)
    list_select_related = ("version", "by")


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("started_at", "share", "patient", "done", "people", "finished_at", "result")
    list_filter = ("share",)
    list_select_related = ("patient",)


@admin.register(ContextTag)
class ContextTagAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("patient", "kind", "since", "until", "by")
    list_select_related = ("patient", "by")


@admin.register(KeptBack)
class KeptBackAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("patient", "cause", "at", "tag")
    list_select_related = ("patient",)
