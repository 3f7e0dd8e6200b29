"""Alerts and the outbox in the admin site: to read. People answer alerts in the portal."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from portal.accounts.models import Role, User
from portal.accounts.rows import Rows
from portal.alerts.models import Alert, AlertEvent, EscalationStep, HandOver, Message, Response, Snooze


class ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AlertEventInline(ReadOnly, admin.TabularInline):
    model = AlertEvent
    extra = 0


@admin.register(Alert)
class AlertAdmin(ReadOnly, admin.ModelAdmin):
    inlines = [AlertEventInline]
    list_display = ("pk", "patient", "cause", "level", "state", "raised_at")
    list_filter = ("state", "episode__level")
    list_select_related = ("episode__patient",)

    @admin.display(ordering="episode__patient__name")
    def patient(self, alert: Alert) -> str:
        return alert.episode.patient.name

    def cause(self, alert: Alert) -> str:
        return alert.episode.cause

    def level(self, alert: Alert) -> str:
        return alert.episode.get_level_display()


class EscalationStepInline(Rows):
    """On the care team's page: who is told next while nobody answers."""

    model = EscalationStep
    extra = 1

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "recipient":
            kwargs["queryset"] = User.objects.filter(role=Role.CLINICIAN, is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Snooze)
class SnoozeAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("patient", "vital", "direction", "level", "until", "by", "reason")
    list_select_related = ("patient", "by")


@admin.register(Response)
class ResponseAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("alert_id", "by", "at", "called", "reached", "outcome", "useful")
    list_filter = ("outcome", "useful")
    list_select_related = ("by",)


@admin.register(HandOver)
class HandOverAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("giver", "taker", "began_at", "ended_at", "note")
    list_select_related = ("giver", "taker")


@admin.register(Message)
class MessageAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "channel", "recipient", "due_at", "sent_at", "attempts", "held_because", "stopped_because")
    list_filter = ("channel",)
