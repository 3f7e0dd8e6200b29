from django.urls import path

from portal.monitoring import views

urlpatterns = [path("patients/<int:pk>/plan/", views.plan, name="plan")]
