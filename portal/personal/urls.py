from django.urls import path

from portal.personal import views

urlpatterns = [
    path("patients/<int:pk>/context/", views.context, name="context"),
    path("shadow/", views.shadow, name="shadow"),
]
