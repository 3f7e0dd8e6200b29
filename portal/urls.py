"""Every address of the portal."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from portal.pipeline import health

admin.site.site_header = admin.site.site_title = "Wellrange administration"
admin.site.index_title = "Devices, people, plans"
admin.site.login = secure_admin_login(admin.site.login)  # one way to sign in, with one limit on attempts

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("", include("portal.people.urls")),
    path("", include("portal.alerts.urls")),
    path("", include("portal.charts.urls")),
    path("", include("portal.consent.urls")),
    path("", include("portal.monitoring.urls")),
    path("", include("portal.personal.urls")),
    path("", include("portal.operations.urls")),
    path("", include("portal.archive.urls")),
]
