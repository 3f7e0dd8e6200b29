"""Tables of rows in the admin site."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.text import capfirst


class Rows(admin.TabularInline):
    """A table whose fields carry the name of their column, for who does not see the table."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            getattr(field.widget, "widget", field.widget).attrs["aria-label"] = capfirst(db_field.verbose_name)
        return field
