"""Every address of the portal and who may do what there. A new address without a row here fails.

Patients reach themselves, clinicians their own teams' patients, administrators the admin site and nobody's readings.
Whom somebody may not see is not there (404), in the same words as what never was.
"""

import re
from collections.abc import Iterator

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLResolver, get_resolver

from portal.accounts.models import Role, User
from portal.alerts.consumers import SIGNED_OUT
from portal.alerts.models import Alert
from portal.alerts.routing import websocket_urlpatterns
from portal.alerts.services import transitions_apply
from portal.asgi import application
from portal.monitoring.models import Preview
from tests.portal.conftest import NOW, hypoxia

# Alice is the patient in question, Dora another patient, Bob her clinician, Charlie another team's.
WHO = ("nobody", "alice", "dora", "bob", "charlie", "admin")
# An answer is a status; 302 to the sign-in is "in", any other 302 is "on"; "up" is 200, or 503 where there is no Redis.
# POST sends a form that would change something.
ROWS = """
GET  livez                                   200 200 200 200 200 200
GET  readyz                                  up  up  up  up  up  up
GET  <root>                                  in  on  on  on  on  on
GET  board/                                  in  403 403 200 200 403
GET  me/                                     in  200 200 404 404 404
GET  patients/<int:pk>/                      in  on  404 200 404 404
GET  patients/<int:pk>/charts.json           in  200 404 200 404 404
GET  patients/<int:pk>/plan/                 in  200 404 200 404 404
POST patients/<int:pk>/plan/                 in  403 404 on  404 404
GET  alerts/                                 in  200 200 200 200 200
GET  alerts/<int:pk>/                        in  200 404 200 404 404
GET  alerts/<int:pk>/answer/                 in  405 405 405 405 405
POST alerts/<int:pk>/answer/                 in  409 404 on  404 404
GET  shift/                                  in  403 403 200 200 403
POST shift/                                  in  403 403 on  on  403
GET  burden/                                 in  403 403 200 200 403
GET  patients/<int:pk>/archive/              in  200 404 200 404 404
POST patients/<int:pk>/archive/              in  400 404 400 404 404
GET  archive/<int:pk>/readings.csv           in  404 404 404 404 404
GET  operations/                             in  403 403 403 403 200
GET  operations/refused/                     in  403 403 403 403 200
GET  metrics                                 200 200 200 200 200 200
GET  patients/<int:pk>/plan/preview/<int:preview>/ in 403 404 200 404 404
GET  patients/<int:pk>/context/              in  200 404 200 404 404
POST patients/<int:pk>/context/              in  on  404 on  404 404
GET  shadow/                                 in  403 403 200 200 403
GET  consent/                                in  200 200 404 404 404
POST consent/                                in  on  on  404 404 404
GET  accounts/login/                         200 on  on  on  on  on
GET  accounts/logout/                        in  200 200 200 200 200
POST accounts/logout/                        in  in  in  in  in  in
GET  accounts/inactive/                      200 200 200 200 200 200
GET  accounts/signup/                        200 on  on  on  on  on
POST accounts/signup/                        200 on  on  on  on  on
GET  accounts/reauthenticate/                in  200 200 200 200 200
GET  accounts/email/                         in  200 200 200 200 200
GET  accounts/confirm-email/                 200 200 200 200 200 200
GET  accounts/confirm-email/<key>/           200 200 200 200 200 200
GET  accounts/password/change/               in  200 200 200 200 200
GET  accounts/password/set/                  in  on  on  on  on  on
GET  accounts/password/reset/                200 200 200 200 200 200
GET  accounts/password/reset/done/           200 200 200 200 200 200
GET  accounts/password/reset/key/<uidb36>-<key>/ 200 200 200 200 200 200
GET  accounts/password/reset/key/done/       200 200 200 200 200 200
GET  accounts/login/code/confirm/            in  on  on  on  on  on
"""
FORMS = {
    "patients/<int:pk>/plan/": {"action": "pause", "reason": "in hospital"},
    "patients/<int:pk>/archive/": {"first": "2025-03-01", "last": "2025-03-31"},
    "alerts/<int:pk>/answer/": {"answer": "acknowledge"},
    "patients/<int:pk>/context/": {"action": "add", "kind": "travel", "since": f"{NOW:%Y-%m-%dT%H:%M}", "hours": "24"},
    "shift/": {"action": "quiet", "quiet_hours": "night"},
    "consent/": {"purpose": "research", "decision": "give"},
}
QUERIES = {"patients/<int:pk>/charts.json": {"vital": "spo2"}}


def routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Every route of the urlconf, as ROWS writes it."""
    for pattern in (resolver or get_resolver()).url_patterns:
        text = re.sub(r"\(\?P(<\w+>)(?:[^()]|\([^()]*\))*\)", r"\1", str(pattern.pattern)).strip("^$")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, before + text)
        else:
            yield before + text or "<root>"


def rows() -> dict[tuple[str, str], list[str]]:
    return {(method, route): answers for method, route, *answers in map(str.split, ROWS.strip().splitlines())}


@pytest.fixture
def lived_in(cast):
    """The cast, with an alert of Alice's and an account of Dora's."""
    cast.dora.user = User.objects.create_user("dora", role=Role.PATIENT, organisation=cast.organisation)
    cast.dora.save()
    for user in User.objects.all():
        user.set_password("three small boats")
        user.save()
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient)], now=NOW)
    Preview.objects.create(patient=cast.patient, asked_by=cast.bob, asked_at=NOW, draft={}, form={})
    return cast


def client(who: str) -> Client:
    client = Client()
    if who != "nobody":
        client.force_login(User.objects.get(username=who))
    return client


def ask(client: Client, method: str, route: str, cast) -> HttpResponse:
    pk = Alert.objects.get().pk if route.startswith("alerts/") else cast.patient.pk
    path = "/" + route.replace("<root>", "").replace("<int:pk>", str(pk))
    path = path.replace("<int:preview>", str(Preview.objects.get().pk))
    path = path.replace("<uidb36>", "1").replace("<key>", "set-password")
    if method == "POST":
        return client.post(path, FORMS.get(route, {}))
    return client.get(path, QUERIES.get(route, {}))


def word(response: HttpResponse, route: str) -> str:
    if response.status_code == 302:
        return "in" if response["Location"].startswith("/accounts/login/") else "on"
    if route == "readyz" and response.status_code in (200, 503):
        return "up"
    return str(response.status_code)


def test_every_address_has_its_row():
    declared, there = {route for _, route in rows()}, {r for r in routes() if not r.startswith("admin/")}
    assert there - declared == set(), "say in ROWS who may do what there"
    assert declared - there == set(), "these addresses are gone"
    assert [str(pattern.pattern) for pattern in websocket_urlpatterns] == ["ws/live/"]


@pytest.mark.parametrize("who", WHO)
def test_who_may_do_what(lived_in, who):
    found, visitor = {}, client(who)
    for method, route in rows():
        with transaction.atomic():
            response = ask(client(who) if "logout" in route else visitor, method, route, lived_in)
            transaction.set_rollback(True)
        found[method, route] = word(response, route)
        if who not in ("alice", "bob"):
            assert b"Alice Marsh" not in response.content, route
    assert found == {row: answers[WHO.index(who)] for row, answers in rows().items()}


@pytest.mark.parametrize("who", ["nobody", "alice", "bob", "admin"])
def test_the_admin_site_is_for_administrators(lived_in, who):
    visitor = client(who)
    for route in routes():
        if not route.startswith("admin/"):
            continue
        path = "/" + re.sub(r"<[^>]*(_id|\bid)>", "1", route).replace("<app_label>", "people").replace("<url>", "x")
        response = visitor.get(path)
        if who == "admin":
            assert not response.get("Location", "").startswith(("/admin/login/", "/accounts/login/")), path
            continue
        for refused in (response, (client(who) if "logout" in path else visitor).post(path)):
            assert refused.status_code in (302, 403, 405), path
            assert refused.get("Location", "/admin/").startswith(("/admin/", "/accounts/login/")), path
            assert b"Alice Marsh" not in refused.content, path


def test_nobody_makes_an_account_for_themselves(db):
    form = {"username": "eve", "email": "eve@test.example", "password1": "three small boats"}
    client("nobody").post("/accounts/signup/", form | {"password2": form["password1"]})
    assert not User.objects.exists()


async def test_the_live_socket_is_closed_to_who_is_not_signed_in():
    scope = {"type": "websocket", "path": "/ws/live/", "query_string": b"", "subprotocols": []}
    scope["headers"] = [(b"origin", b"http://localhost"), (b"host", b"localhost")]
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=10))["type"] == "websocket.accept"  # else a browser hears no code
    told = await socket.receive_output(timeout=10)
    assert (told["type"], told["code"]) == ("websocket.close", SIGNED_OUT)
