"""The live socket: it says what changed, with a cursor, and nothing of anybody's health.

After a reconnect the page gives its cursor and is told everything since. Hints over Redis make it fast; the socket's
own look every POLL_S makes it complete.
"""

import asyncio
import contextlib
from typing import Any
from urllib.parse import parse_qs

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from portal.accounts.models import User
from portal.alerts.live import POLL_S, group_name
from portal.alerts.selectors import changes_since, cursor_of

SIGNED_OUT = 4401  # close code: sign in again


class Live(AsyncJsonWebsocketConsumer):
    """`/ws/live/?since=<cursor>`; without a cursor, from now on."""

    async def connect(self) -> None:
        user = self.scope["user"]
        if not user.is_authenticated or not user.is_active or user.organisation_id is None:
            await self.close(SIGNED_OUT)
            return
        self._look = asyncio.Event()
        self._look.set()
        await self.accept()
        self._cursor = await self._first_cursor(user)
        with contextlib.suppress(Exception):  # without Redis there are no hints, and the socket looks by itself
            await self.channel_layer.group_add(group_name(user.organisation_id), self.channel_name)
        await self.send_json({"cursor": self._cursor, "changes": []})
        self._looking = asyncio.create_task(self._keep_looking())

    async def disconnect(self, code: int) -> None:
        if looking := getattr(self, "_looking", None):
            looking.cancel()
            with contextlib.suppress(Exception):
                await self.channel_layer.group_discard(
                    group_name(self.scope["user"].organisation_id), self.channel_name
                )

    async def changed(self, event: dict[str, Any]) -> None:
        """A hint from `live.announce`."""
        self._look.set()

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), POLL_S)
            self._look.clear()
            user = await get_user(self.scope)  # signed out, deactivated or moved since?
            if not user.is_authenticated or not user.is_active:
                await self.close(SIGNED_OUT)
                return
            cursor, changes = await database_sync_to_async(changes_since)(user, self._cursor)
            if changes:
                await self.send_json({"cursor": cursor, "changes": [c.as_json() for c in changes]})
            if cursor != self._cursor:
                self._cursor = cursor
                self._look.set()  # there may be more than one answer holds

    async def _first_cursor(self, user: User) -> int:
        given = parse_qs(self.scope["query_string"].decode()).get("since", [""])[0]
        now = int(await database_sync_to_async(cursor_of)(user))
        # A cursor from another time line (a database restored from a backup) starts from now.
        return int(given) if given.isdecimal() and int(given) <= now else now
