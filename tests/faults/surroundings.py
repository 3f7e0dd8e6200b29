"""What the processes of a fault test find: empty topics, and the environment that a service would give them."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from django.conf import settings
from django.db import connection

from ingestion.kafka import ADMITTED, READINGS, REFUSED, committed, consumer_config, topic_id, topics_create
from ingestion.lake import open_readings, position


def wait_for(what: str, true: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)


def topics_make_anew(bootstrap: str) -> None:
    """Empty topics, whatever other tests have left in them."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    old = [name for name in (READINGS, ADMITTED, REFUSED) if name in admin.list_topics(timeout=30).topics]
    for gone in (admin.delete_topics(old) if old else {}).values():
        gone.result()
    wait_for("the old topics are gone", lambda: not set(old) & set(admin.list_topics(timeout=30).topics))
    topics_create(bootstrap, readings=settings.READINGS_PARTITIONS, admitted=settings.ADMITTED_PARTITIONS)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The servers and the database of this test, and `folder` for what is written."""
    database = urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": database.geturl(),
        "REDIS_URL": settings.REDIS_URL,
        "VAR_DIR": str(folder),
        "READINGS_PARTITIONS": str(settings.READINGS_PARTITIONS),
        "ADMITTED_PARTITIONS": str(settings.ADMITTED_PARTITIONS),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def all_decided(bootstrap: str) -> bool:
    """Whether the doors have decided every packet that has arrived."""
    consumer = Consumer(consumer_config(bootstrap, "door"))  # asks for the group's offsets and joins nothing
    places = [TopicPartition(READINGS, p) for p in range(settings.READINGS_PARTITIONS)]
    try:
        decided = committed(consumer, places)
        return all(
            max(decided[place.partition], 0) == consumer.get_watermark_offsets(place, timeout=30)[1] for place in places
        )
    finally:
        consumer.close()


def all_archived(bootstrap: str, lake: str) -> bool:
    """Whether everything that was admitted lies in the lake."""
    topic, table = topic_id(bootstrap, ADMITTED), open_readings(lake)
    consumer = Consumer(consumer_config(bootstrap, "nobody"))
    try:
        return all(
            (position(table, topic, p) or 0)
            == consumer.get_watermark_offsets(TopicPartition(ADMITTED, p), timeout=30)[1]
            for p in range(settings.ADMITTED_PARTITIONS)
        )
    finally:
        consumer.close()
