"""The live socket: everything once and in order, also after a reconnect, without Redis, and to nobody else."""

import asyncio
import contextlib
import json

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer
from django.contrib.sessions.models import Session
from django.db import OperationalError, transaction

from portal.alerts import consumers
from portal.alerts.consumers import SIGNED_OUT, TRY_AGAIN
from portal.alerts.live import announce, group_name
from portal.alerts.selectors import changes_since, cursor_of
from portal.alerts.services import transitions_apply
from portal.asgi import application
from portal.people.models import Change, Organisation
from portal.people.services import change_record
from tests.portal.conftest import NOW, hypoxia, make_cast

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
FOREVER_S = 1000.0  # a socket that looks by itself so rarely does not in a test: it depends on hints


@pytest.fixture
def cast(transactional_db, empty_redis):
    return make_cast()


@pytest.fixture
def looks(monkeypatch):
    """A function that says how often sockets look by themselves."""
    return lambda seconds: monkeypatch.setattr(consumers, "POLL_S", seconds)


@contextlib.contextmanager
def layer_at(url):
    before = channel_layers.set("default", RedisChannelLayer(hosts=[url]))
    yield
    if before is None:  # nobody had asked for it before
        del channel_layers.backends["default"]
    else:
        channel_layers.set("default", before)


@pytest.fixture(autouse=True)
def layer_of_this_loop(settings):
    """Each test has an event loop of its own, and so must the connections to Redis."""
    with layer_at(settings.REDIS_URL):
        yield


class Page:
    """An open page of one person."""

    def __init__(self, cast, name, since=None):
        cookie = cast.client(name).cookies["sessionid"].value if name else ""
        self._socket = ApplicationCommunicator(
            application,
            {
                "type": "websocket",
                "path": "/ws/live/",
                "query_string": b"" if since is None else f"since={since}".encode(),
                "headers": [(b"cookie", f"sessionid={cookie}".encode()), (b"origin", b"http://localhost")],
                "subprotocols": [],
            },
        )

    async def answer(self):
        """What comes first when it connects."""
        await self._socket.send_input({"type": "websocket.connect"})
        return await self._socket.receive_output(timeout=10)

    async def __aenter__(self):
        assert (await self.answer())["type"] == "websocket.accept"
        self.first = await self._next()
        return self

    async def __aexit__(self, *_):
        await self._socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await self._socket.wait(timeout=10)

    async def _next(self):
        return json.loads((await self._socket.receive_output(timeout=10))["text"])

    async def hear(self, count):
        """The next changes, so many."""
        changes = []
        while len(changes) < count:
            told = await self._next()
            changes += told["changes"]
            self.cursor = told["cursor"]
        assert len(changes) == count
        return changes

    async def closed_with(self):
        output = await self._socket.receive_output(timeout=10)
        assert output["type"] == "websocket.close"
        return output["code"]


def opened(patient, cause="news2"):
    with transaction.atomic():
        return transitions_apply([hypoxia(patient, cause=cause)], now=NOW)


open_alert = sync_to_async(opened)
cursor = sync_to_async(cursor_of)


def said(changes):
    return [(c["kind"], c["what"], c["patient"]) for c in changes]


async def make_page(cast, name, since=None):
    return await sync_to_async(Page)(cast, name, since)


async def until(true):
    for _ in range(500):
        if await sync_to_async(true)():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


def members(redis, cast):
    return redis.zcard(f"asgi:group:{group_name(cast.organisation.pk)}")


async def test_a_hint_is_enough(cast, looks, empty_redis):
    looks(FOREVER_S)
    async with await make_page(cast, "bob") as bob:
        await until(lambda: members(empty_redis, cast) == 1)
        await sync_to_async(announce)(await open_alert(cast.patient))
        changes = await bob.hear(1)
        assert said(changes) == [("alert", "opened", cast.patient.pk)]
        assert set(changes[0]) == {"cursor", "kind", "what", "patient", "alert"}
        assert bob.cursor == await cursor(cast.bob)
    await until(lambda: members(empty_redis, cast) == 0)


async def test_without_a_hint_it_looks_by_itself_and_asks_for_hints_again(cast, looks, empty_redis):
    looks(0.2)
    async with await make_page(cast, "bob") as bob:
        await until(lambda: members(empty_redis, cast) == 1)
        await sync_to_async(empty_redis.flushdb)()
        await open_alert(cast.patient)
        assert said(await bob.hear(1)) == [("alert", "opened", cast.patient.pk)]
        await until(lambda: members(empty_redis, cast) == 1)
        looks(FOREVER_S)
        await asyncio.sleep(0.5)  # the look that has begun is over
        await sync_to_async(announce)(await open_alert(cast.patient, cause="limit:spo2:low"))
        await bob.hear(1)


async def test_without_redis_it_looks_by_itself(cast, looks):
    looks(0.1)
    with layer_at("redis://127.0.0.1:1"):
        async with await make_page(cast, "bob") as bob:
            for cause in ("news2", "limit:spo2:low"):
                await asyncio.sleep(0.3)
                await sync_to_async(announce)(await open_alert(cast.patient, cause=cause))
                await bob.hear(1)


async def test_after_a_reconnect_the_cursor_brings_everything_since_once_and_in_order(cast, looks):
    looks(0.1)
    async with await make_page(cast, "bob") as bob:
        await open_alert(cast.patient)
        await bob.hear(1)
        cursor_then = bob.cursor
    for cause in ("limit:spo2:low", "limit:heart_rate:high"):
        await open_alert(cast.patient, cause=cause)
    async with await make_page(cast, "bob", since=cursor_then) as bob:
        assert bob.first == {"cursor": cursor_then, "changes": []}
        changes = await bob.hear(2)
        assert [c["cursor"] for c in changes] == [cursor_then + 1, cursor_then + 2]
        await open_alert(cast.patient, cause="limit:heart_rate:low")
        assert [c["cursor"] for c in await bob.hear(1)] == [cursor_then + 3]
    async with await make_page(cast, "bob") as bob:  # without a cursor, from now on
        assert bob.first["cursor"] == await cursor(cast.bob)


async def test_more_than_one_answer_holds_comes_at_once(cast, looks, monkeypatch):
    looks(FOREVER_S)
    monkeypatch.setattr(consumers, "changes_since", lambda user, since: changes_since(user, since, limit=1))
    expected = await sync_to_async(lambda: Change.objects.filter(patient=cast.patient).count())()
    async with await make_page(cast, "bob", since=0) as bob:
        assert len(await bob.hear(expected)) == expected > 2


async def test_charlie_hears_of_his_own_patient_only(cast, looks):
    looks(0.1)
    async with await make_page(cast, "charlie") as charlie:
        await open_alert(cast.patient)
        await sync_to_async(record)(cast.dora)
        assert said(await charlie.hear(1)) == [("patient", "changed", cast.dora.pk)]
    async with await make_page(cast, "charlie", since=0) as charlie:
        patients = {c["patient"] for c in await charlie.hear(await sync_to_async(changes_of)(cast.dora))}
        assert patients == {cast.dora.pk}


def record(patient):
    with transaction.atomic():
        change_record(
            organisation_id=patient.organisation_id,
            kind=Change.Kind.PATIENT,
            patient=patient,
            what="changed",
            now=NOW,
        )


def changes_of(patient):
    return Change.objects.filter(patient=patient).count()


@pytest.mark.parametrize("since", ["999999", "-1", "x", "9" * 30, ""])
async def test_a_cursor_that_cannot_be_starts_from_now(cast, looks, since):
    """One from the future is of a database that was restored from a backup."""
    looks(0.1)
    async with await make_page(cast, "bob", since=since) as bob:
        assert bob.first == {"cursor": await cursor(cast.bob), "changes": []}
        await open_alert(cast.patient)
        await bob.hear(1)


@pytest.mark.parametrize("name", [None, "outsider"])
async def test_who_is_not_signed_in_or_belongs_nowhere_is_sent_to_sign_in(cast, name):
    def outsider():
        cast.alice.organisation = None
        cast.alice.save()

    if name:
        await sync_to_async(outsider)()
    page = await make_page(cast, "alice" if name else None)
    assert (await page.answer())["type"] == "websocket.accept"
    assert await page.closed_with() == SIGNED_OUT


def deactivated(cast):
    cast.bob.is_active = False
    cast.bob.save()


def signed_out(cast):
    Session.objects.all().delete()


def password_changed(cast):
    cast.bob.set_password("another one")
    cast.bob.save()


def moved(cast):
    cast.bob.organisation = Organisation.objects.create(name="Elsewhere")
    cast.bob.save()


@pytest.mark.parametrize("gone", [deactivated, signed_out, password_changed, moved])
async def test_who_may_no_longer_look_is_sent_to_sign_in_and_hears_nothing_more(cast, looks, gone):
    looks(0.1)
    async with await make_page(cast, "bob") as bob:
        await sync_to_async(gone)(cast)
        await open_alert(cast.patient)
        assert await bob.closed_with() == SIGNED_OUT


async def test_a_socket_that_cannot_look_is_closed_and_not_left_deaf(cast, looks, monkeypatch):
    looks(0.1)
    async with await make_page(cast, "bob") as bob:

        def away(user, since):
            raise OperationalError("the server closed the connection unexpectedly")

        monkeypatch.setattr(consumers, "changes_since", away)
        assert await bob.closed_with() == TRY_AGAIN
