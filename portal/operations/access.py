"""Pages for operators: active staff, and nobody else."""

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

View = Callable[..., HttpResponse]


def operators_only(view: View) -> View:
    """Whoever is not signed in is asked to; whoever is, and is no operator, is refused."""

    @wraps(view)
    def respond(request: HttpRequest, *args: object, **more: object) -> HttpResponse:
        if not (request.user.is_active and request.user.is_staff):
            raise PermissionDenied("This page is for operators.")
        return view(request, *args, **more)

    return login_required(respond)
