"""Telling open pages that something changed. The hint may be lost; the cursor over `Change` is what loses nothing."""

from collections.abc import Iterable

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

POLL_S = 2.0  # how often a socket looks by itself, in case a hint was lost


def group_name(organisation_id: int) -> str:
    return f"organisation_{organisation_id}"


def announce(organisation_ids: Iterable[int]) -> None:
    """Wake the open sockets of these organisations; call it after the commit."""
    send = async_to_sync(get_channel_layer().group_send)
    for organisation_id in set(organisation_ids):
        send(group_name(organisation_id), {"type": "changed"})
