"""Users in the admin site: accounts are made here, nobody signs up."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin

from portal.accounts.models import User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    list_display = ("username", "first_name", "last_name", "role", "organisation", "is_active")
    list_filter = ("role", "is_active", "organisation")
    fieldsets = (
        *DjangoUserAdmin.fieldsets,
        ("Wellrange", {"fields": ("role", "organisation", "time_zone", "quiet_hours")}),
    )
    add_fieldsets = (
        *DjangoUserAdmin.add_fieldsets,
        ("Wellrange", {"fields": ("email", "first_name", "last_name", "role", "organisation", "time_zone")}),
    )
