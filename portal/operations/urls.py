from django.urls import path

from portal.operations import metrics, views

urlpatterns = [
    path("metrics", metrics.metrics, name="metrics"),
    path("operations/", views.status, name="status"),
    path("operations/refused/", views.refused, name="refused"),
]
