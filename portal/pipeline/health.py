"""`/livez`: this process answers. `/readyz`: it can do its work. For machines, without sign-in or details."""

import redis
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from portal.pipeline.latest import connection as redis_connection


@never_cache
def livez(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"live": True})


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    parts = {"database": _database_answers(), "redis": _redis_answers()}
    return JsonResponse({"ready": all(parts.values()), **parts}, status=200 if all(parts.values()) else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
        return True
    except DatabaseError:
        return False


def _redis_answers() -> bool:
    try:
        return bool(redis_connection().ping())
    except redis.RedisError:
        return False
