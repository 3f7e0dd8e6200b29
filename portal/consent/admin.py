"""The ledger in the admin site: to read, never to change."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from portal.consent.models import ConsentEntry


@admin.register(ConsentEntry)
class ConsentEntryAdmin(admin.ModelAdmin):
    list_display = ("patient", "purpose", "given", "at", "by", "text_version")
    list_filter = ("purpose", "given")
    search_fields = ("patient__name",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
