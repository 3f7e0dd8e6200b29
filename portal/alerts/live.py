"""Telling open pages that something changed. The hint may be lost; the cursor over `Change` is what loses nothing."""

import logging
from collections.abc import Iterable
from functools import partial

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)

POLL_S = 2.0  # how often a socket looks by itself, in case a hint was lost


def group_name(organisation_id: int) -> str:
    return f"organisation_{organisation_id}"


def announce(organisation_ids: Iterable[int]) -> None:
    """Wake the open sockets of these organisations; call it after the commit.

    Without Redis the hint is lost and nothing else: what was decided stands, and the sockets look by themselves.
    """
    groups = [group_name(organisation_id) for organisation_id in set(organisation_ids)]
    try:
        if groups:
            async_to_sync(_wake)(groups)
    except (redis.RedisError, OSError) as error:
        log.warning("open pages get no hint (%s): they look every %g s", type(error).__name__, POLL_S)


async def _wake(groups: Iterable[str]) -> None:
    """In one event loop, since each connects to Redis anew."""
    layer = get_channel_layer()
    for group in groups:
        await layer.group_send(group, {"type": "changed"})


def announce_after_commit(organisation_id: int) -> None:
    """Announce once the transaction around it, if any, is committed."""
    transaction.on_commit(partial(announce, [organisation_id]))
