from django.urls import path

from portal.consent import views

urlpatterns = [path("consent/", views.consent, name="consent")]
