"""Episodes: from confirmed levels to changes of state. Pure; the database keeps the episodes themselves."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any


class Level(IntEnum):
    """How serious an episode is: NEWS2's clinical risks (Royal College of Physicians, 2017), and silence below them."""

    NONE = 0
    SILENT = 1
    LOW_MEDIUM = 2
    MEDIUM = 3
    HIGH = 4


class Step(StrEnum):
    OPENED = "opened"
    WORSENED = "worsened"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state of one cause for one person.

    `cause` is "news2", "limit:<vital>:low", "limit:<vital>:high", "silence:<vital>", "gain:weight:high",
    "personal:<channel>:low", "personal:<channel>:high", "personal:together" or "personal:nights". `at` is when the
    reading that decided it was measured (for silence: when it was due; for nights: the end of the last). `evidence`,
    that of a gain like that of a limit, is what a person is shown,
    ready for JSON:
      news2    {"rule", "scale", "score", "partial", "inputs", "unconfirmed", "values": {vital: VALUE}}
      limit    {"rule", "limit", "direction", "reason", "unconfirmed", "values": {vital: VALUE}}
      personal {"rule", "model", "window", "days", "coverage", "values": {channel: {"value", "usual_low", "usual_high",
               "share", "direction", "device_id"}}}
      silence  {"rule", "vital", "due_every_minutes", "last_measured_at", "device_id", "battery"}
    with VALUE = {"value", "measured_at", "device_id", "points"}; times are RFC 3339 in UTC.
    """

    subject: str
    cause: str
    step: Step
    level: Level
    at: datetime
    evidence: dict[str, Any]
