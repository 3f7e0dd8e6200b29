"""The live socket: it says what changed, with a cursor, and nothing of anybody's health.

After a reconnect the page gives its cursor and is told everything since. Hints over Redis make it fast; the socket's
own look every POLL_S makes it complete, also while there is no Redis.
"""

import asyncio
import contextlib
import logging
from importlib import import_module
from urllib.parse import parse_qs

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings

from portal.accounts.models import User
from portal.alerts.live import POLL_S, group_name
from portal.alerts.selectors import changes_since, cursor_of

log = logging.getLogger(__name__)

SIGNED_OUT = 4401  # close code: sign in again
TRY_AGAIN = 1011  # close code: something failed here; a reconnect with the cursor misses nothing


class Live(AsyncJsonWebsocketConsumer):
    """`/ws/live/?since=<cursor>`; without a cursor, from now on."""

    channel_layer_alias = None  # Channels would close the socket whenever Redis goes away: see `_listen`

    async def connect(self) -> None:
        user = self.scope["user"]
        if not user.is_authenticated or not user.is_active or user.organisation_id is None:
            await self.close(SIGNED_OUT)
            return
        self._group = group_name(user.organisation_id)
        self._hint = asyncio.Event()
        self._hint.set()  # the first look comes at once
        self._channel = ""
        await self.accept()
        self._cursor = await self._first_cursor(user)
        await self.send_json({"cursor": self._cursor, "changes": []})
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_looking())]

    async def disconnect(self, code: int) -> None:
        for task in getattr(self, "_tasks", ()):
            task.cancel()
        if getattr(self, "_channel", ""):
            with contextlib.suppress(Exception):
                await get_channel_layer().group_discard(self._group, self._channel)

    async def _listen(self) -> None:
        """Wake `_keep_looking` at each hint of `live.announce`, as long and as soon as there is a Redis."""
        layer = get_channel_layer()
        while True:
            with contextlib.suppress(Exception):
                self._channel = await layer.new_channel()
                await layer.group_add(self._group, self._channel)
                while True:
                    await layer.receive(self._channel)
                    self._hint.set()
            await asyncio.sleep(POLL_S)

    async def _keep_looking(self) -> None:
        try:
            while await self._look():
                pass
        except Exception as error:  # it would otherwise stay open and never say anything again
            log.warning("a live socket is closed (%s)", type(error).__name__)
            await self.close(TRY_AGAIN)

    async def _look(self) -> bool:
        """Wait for a hint, but not for long, and say what has changed; whether to go on."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hint.wait(), POLL_S)
        hinted = self._hint.is_set()
        self._hint.clear()
        if (user := await self._still_signed_in()) is None:
            await self.close(SIGNED_OUT)
            return False
        cursor, changes = await database_sync_to_async(changes_since)(user, self._cursor)
        if changes:
            await self.send_json({"cursor": cursor, "changes": [c.as_json() for c in changes]})
        if cursor != self._cursor:
            self._cursor = cursor
            self._hint.set()  # there may be more than one answer holds
            if not hinted:  # Redis may have been emptied, and with it have forgotten who wants hints
                with contextlib.suppress(Exception):
                    await get_channel_layer().group_add(self._group, self._channel)
        return True

    async def _still_signed_in(self) -> User | None:
        """The user as of now; None once signed out, deactivated, or moved to where the cursor means something else."""
        sessions = import_module(settings.SESSION_ENGINE)
        user = await get_user({"session": sessions.SessionStore(self.scope["session"].session_key)})
        before: User = self.scope["user"]
        if not user.is_authenticated or not user.is_active or user.organisation_id != before.organisation_id:
            return None
        return user

    async def _first_cursor(self, user: User) -> int:
        given = parse_qs(self.scope["query_string"].decode()).get("since", [""])[0]
        now = int(await database_sync_to_async(cursor_of)(user))
        # A cursor from another time line (a database restored from a backup) starts from now.
        return int(given) if given.isdecimal() and int(given) <= now else now
