"""Alerts and the outbox in the admin site: to read. People answer alerts in the portal."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from portal.alerts.models import Alert, AlertEvent, Message


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


@admin.register(Message)
class MessageAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "channel", "recipient", "due_at", "sent_at", "attempts", "stopped_because")
    list_filter = ("channel",)
