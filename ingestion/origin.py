"""Where a replayed packet came from the first time: it travels with the packet as a Kafka header.

A packet that an operator sends back to `vitals.readings` gets new coordinates there, and a new time of receipt. The
header `origin` keeps the first ones, so that a packet refused again is still known for what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

HEADER = "origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """Coordinates in `vitals.readings` and the broker's append time there, with a time zone."""

    topic_id: str
    partition: int
    offset: int
    received_at: datetime

    def to_header(self) -> bytes:
        return f"{self.topic_id}/{self.partition}/{self.offset}/{self.received_at.isoformat()}".encode()

    def to_json(self) -> dict[str, Any]:
        return {
            "topic_id": self.topic_id,
            "partition": self.partition,
            "offset": self.offset,
            "received_at": self.received_at.isoformat(),
        }


def from_json(entry: dict[str, Any]) -> Origin:
    return Origin(entry["topic_id"], entry["partition"], entry["offset"], datetime.fromisoformat(entry["received_at"]))


def origin_of(headers: Sequence[tuple[str, bytes]] | None) -> Origin | None:
    """The origin that these headers name, or None. One that cannot be read is none: a header is no reason to stop."""
    for name, value in headers or ():
        if name == HEADER and value:
            try:
                # From the right: a topic id is base64, which has the same sign.
                topic_id, partition, offset, received_at = value.decode("ascii").rsplit("/", 3)
                return Origin(topic_id, int(partition), int(offset), datetime.fromisoformat(received_at))
            except ValueError:
                return None
    return None
