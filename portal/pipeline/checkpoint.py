"""The watcher's windows in Redis, with the offset they belong to. They move forward only, and can be rebuilt."""

from functools import cache

import redis
from django.conf import settings

from analytics.ward import Ward

KEPT_S = 8 * 24 * 3600  # longer than the log itself is kept

_FORWARD_ONLY = """
local old = redis.call('HGET', KEYS[1], 'offset')
if old and tonumber(old) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'offset', ARGV[1], 'ward', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


@cache
def connection() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, health_check_interval=30)


def checkpoint_write(topic_id: str, partition: int, offset: int, ward: Ward) -> None:
    """Keep the windows as they are before `offset`; an older checkpoint never replaces a newer one."""
    connection().eval(_FORWARD_ONLY, 1, _key(topic_id, partition), offset, ward.packed(), KEPT_S)


def checkpoint_read(topic_id: str, partition: int) -> tuple[int, Ward] | None:
    """The offset to go on from and the windows before it, or None if there are none that this code can read."""
    offset, data = connection().hmget(_key(topic_id, partition), "offset", "ward")
    ward = Ward.unpacked(data) if data else None
    return (int(offset), ward) if ward is not None else None


def _key(topic_id: str, partition: int) -> str:
    return f"watch:{topic_id}:{partition}"
