"""The watcher's windows in Redis, each layer's with the offset they belong to. They move forward only, and can be
rebuilt.

The personal layer remembers a day of everybody, a hundred times what the ward remembers, so it is kept apart and less
often; a restart reads from the older of the two offsets on, and gives each layer only what it has not seen.
"""

from collections.abc import Mapping
from functools import cache

import redis
from django.conf import settings

from analytics.personal import Personal
from analytics.versions import Models
from analytics.ward import Ward

KEPT_S = 8 * 24 * 3600  # longer than the log itself is kept

_FORWARD_ONLY = """
local old = redis.call('HGET', KEYS[1], 'offset')
if old and tonumber(old) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'offset', ARGV[1], ARGV[4], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


@cache
def connection() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, health_check_interval=30)


def checkpoints_write(topic_id: str, windows: Mapping[int, tuple[int, Ward]]) -> None:
    """Keep the ward's windows of each partition as they are before an offset; an older checkpoint never replaces a
    newer one.

    One round trip for all of them.
    """
    pipe = connection().pipeline(transaction=False)
    for partition, (offset, ward) in windows.items():
        pipe.eval(_FORWARD_ONLY, 1, _key(topic_id, partition), offset, ward.packed(), KEPT_S, "ward")
    pipe.execute()


def personal_write(topic_id: str, partition: int, offset: int, personal: Personal) -> None:
    """Keep the personal layer's windows as they are before `offset`, as `checkpoints_write` does."""
    key = f"{_key(topic_id, partition)}:personal"
    connection().eval(_FORWARD_ONLY, 1, key, offset, personal.packed(), KEPT_S, "personal")


def checkpoint_read(topic_id: str, partition: int) -> tuple[int, Ward] | None:
    """The offset to go on from and the windows before it, or None if there are none that this code can read."""
    offset, data = connection().hmget(_key(topic_id, partition), "offset", "ward")
    ward = Ward.unpacked(data) if data else None
    return (int(offset), ward) if ward is not None else None


def personal_read(topic_id: str, partition: int, models: Models) -> tuple[int, Personal] | None:
    """As `checkpoint_read`, for the personal layer."""
    offset, data = connection().hmget(f"{_key(topic_id, partition)}:personal", "offset", "personal")
    personal = Personal.unpacked(data, models) if data else None
    return (int(offset), personal) if personal is not None else None


def _key(topic_id: str, partition: int) -> str:
    return f"watch:{topic_id}:{partition}"
