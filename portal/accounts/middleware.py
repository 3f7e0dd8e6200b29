"""Times in the zone of the person who reads them; and what an open page does once its reader is signed out."""

from collections.abc import Callable
from http import HTTPStatus
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone


def local_time(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def respond(request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return get_response(request)
        with timezone.override(ZoneInfo(request.user.time_zone)):
            return get_response(request)

    return respond


def whole_page_to_sign_in(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A part asked for after signing out loads the whole page, so that no sign-in form appears inside a board."""

    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.htmx and response.status_code == HTTPStatus.FOUND and not request.user.is_authenticated:
            return HttpResponse(status=HTTPStatus.NO_CONTENT, headers={"HX-Refresh": "true"})
        return response

    return respond
