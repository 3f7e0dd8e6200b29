"""Packets, and sending, reading, deciding and refusing them on a real broker, for the tests of the path."""

import json
import time
from datetime import UTC, datetime, timedelta

import numpy as np
from confluent_kafka import Consumer, Producer

from ingestion.door import Arrivals, directory, sort_out
from ingestion.doorway import Doorway
from ingestion.kafka import READINGS, REFUSED, consumer_config, topic_id
from ingestion.walk import bounds, walk

NOW = datetime.now(UTC)


def packet(device_id, minute=0):
    at = (NOW - timedelta(hours=30) + timedelta(minutes=minute)).isoformat()
    return json.dumps({"device_id": device_id, "timestamp": at, "heart_rate": 60 + minute % 60}).encode()


def send(bootstrap, topic, messages):
    producer = Producer({"bootstrap.servers": bootstrap})
    for message in messages:
        producer.produce(topic, **message)
    assert producer.flush(30) == 0


def read(bootstrap, topic):
    return [message for batch in walk(bootstrap, topic) for message in batch]


def decide(bootstrap, door: Doorway):
    """Let a door go on until it has decided everything that is there now."""
    consumer = Consumer(consumer_config(bootstrap, "t"))
    ends = {p: end for p, (_, end) in bounds(consumer, READINGS).items()}
    consumer.close()
    until = time.monotonic() + 60
    while any(door._reached.get(p, -1) < end for p, end in ends.items()):
        assert time.monotonic() < until, "the door does not come to the end"
        door.step()


def refuse(bootstrap, values, *, devices=(), belongings=(), persons=(), accounts=None):
    """Put packets into `vitals.refused` as a door does that decides them so."""
    count = len(values)
    outcome = sort_out(
        Arrivals(
            topic_id=topic_id(bootstrap, READINGS),
            values=values,
            keys=[json.loads(v)["device_id"].encode() for v in values],
            accounts=accounts or [None] * count,
            partitions=np.zeros(count, np.int64),
            offsets=np.arange(count),
            received_at=np.full(count, int(NOW.timestamp() * 1e6)),
        ),
        directory(devices, belongings, persons),
    )
    assert len(outcome.refused) == count
    send(bootstrap, REFUSED, [{"value": entry} for entry in outcome.refused])
