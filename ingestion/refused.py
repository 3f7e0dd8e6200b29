"""What lies in `vitals.refused`: packets that were not admitted, each with its reason.

Kafka keeps them for seven days, like everything in it. A packet refused for want of consent, or that may belong to
somebody who has not consented, has neither payload nor device here: the door withheld them.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from confluent_kafka import Message

from ingestion.kafka import REFUSED
from ingestion.origin import Origin, from_json
from ingestion.walk import walk


@dataclass(frozen=True, slots=True)
class Refused:
    """One refused packet. `at` are its coordinates in `vitals.readings`, `origin` the first ones if it was replayed.

    `payload`, `key` and `account` are None where they are withheld; `payload` is cut where `length` is more.
    `refused_at` (UTC) is when the door said no. `complete` says that the entry names key and account.
    """

    reason: str
    at: Origin
    refused_at: datetime
    length: int
    sha256: str
    payload: bytes | None
    key: bytes | None
    account: str | None
    complete: bool
    origin: Origin | None

    @property
    def first(self) -> Origin:
        """Where the packet came from the first time it was sent."""
        return self.origin or self.at

    @property
    def device_id(self) -> str:
        """The device the packet was keyed by, or "" where that is withheld or there was none."""
        return self.key.decode("utf-8", "replace") if self.key else ""

    def obstacle(self) -> str | None:
        """Why this packet cannot be sent again, or None if it can."""
        if self.payload is None:
            return "withheld"
        if len(self.payload) < self.length:
            return "truncated"
        if not self.complete or hashlib.sha256(self.payload).hexdigest() != self.sha256:
            return "incomplete"
        return None


def parse(message: Message) -> Refused:
    """One message of `vitals.refused`."""
    entry = json.loads(message.value())
    payload, key = entry.get("payload"), entry.get("key")
    return Refused(
        reason=entry["reason"],
        at=from_json(entry),
        refused_at=datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
        length=entry["length"],
        sha256=entry["sha256"],
        payload=base64.b64decode(payload) if payload is not None else None,
        key=base64.b64decode(key) if key is not None else None,
        account=entry.get("account"),
        complete="account" in entry,
        origin=from_json(entry["origin"]) if "origin" in entry else None,
    )


def refused(bootstrap: str, start: Mapping[int, int] | None = None) -> Iterator[Refused]:
    """Every refused packet from `start` (or the oldest that is kept) to the present end."""
    for batch in walk(bootstrap, REFUSED, start=start):
        yield from map(parse, batch)


@dataclass(slots=True)
class Summary:
    """Refused packets by reason: how many, how many of them can be replayed, and the newest few of each."""

    kept: int
    count: Counter[str] = field(default_factory=Counter)
    replayable: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)  # had been replayed before
    samples: dict[str, list[Refused]] = field(default_factory=dict)

    def add(self, packet: Refused) -> None:
        self.count[packet.reason] += 1
        self.replayable[packet.reason] += packet.obstacle() is None
        self.again[packet.reason] += packet.origin is not None
        newest = self.samples.setdefault(packet.reason, [])
        newest.append(packet)
        newest.sort(key=lambda p: p.refused_at)
        del newest[: -self.kept or None]
