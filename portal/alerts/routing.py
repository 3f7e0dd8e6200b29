from django.urls import path

from portal.alerts.consumers import Live

websocket_urlpatterns = [path("ws/live/", Live.as_asgi())]
