from django.urls import path

from portal.people import views

urlpatterns = [
    path("", views.home, name="home"),
    path("board/", views.board, name="board"),
    path("me/", views.me, name="me"),
    path("patients/<int:pk>/", views.patient, name="patient"),
]
