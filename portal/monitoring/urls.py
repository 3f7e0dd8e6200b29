from django.urls import path

from portal.monitoring import views

urlpatterns = [
    path("patients/<int:pk>/plan/", views.plan, name="plan"),
    path("patients/<int:pk>/plan/preview/<int:preview>/", views.preview, name="plan-preview"),
]
