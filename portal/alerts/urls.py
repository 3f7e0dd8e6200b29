from django.urls import path

from portal.alerts import views

urlpatterns = [
    path("alerts/", views.alert_list, name="alerts"),
    path("alerts/<int:pk>/", views.alert, name="alert"),
    path("burden/", views.burden, name="burden"),
    path("shift/", views.shift, name="shift"),
    path("alerts/<int:pk>/answer/", views.answer, name="alert-answer"),
]
