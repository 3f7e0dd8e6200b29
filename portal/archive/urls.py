from django.urls import path

from portal.archive import views

urlpatterns = [
    path("patients/<int:pk>/archive/", views.archive, name="archive"),
    path("archive/<int:pk>/readings.csv", views.readings, name="archive-readings"),
]
