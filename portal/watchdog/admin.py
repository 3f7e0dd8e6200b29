"""Probes in the admin site: to read."""

from django.contrib import admin

from portal.alerts.admin import ReadOnly
from portal.watchdog.models import Probe


@admin.register(Probe)
class ProbeAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("began_at", "raised_at", "delivered_at", "failed_at", "why")
