"""What the long-running processes share: a clean stop, and the named places at which a fault test ends them."""

import os
import signal
from collections.abc import Callable
from threading import Event

from django.conf import settings

_passages: dict[str, int] = {}


def stop_on_signal() -> Callable[[], bool]:
    """A function that turns true once the process was asked to stop (SIGTERM or Ctrl-C)."""
    asked = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    return asked.is_set


def crash_point(name: str) -> None:
    """Kill this process, as a power cut would, at the n-th passage if WELLRANGE_CRASH_AT says "name:n".

    "name:n:stop" freezes it instead, as a machine that hangs, until it gets SIGCONT.
    """
    if not settings.CRASH_AT:
        return
    place, turn, how, *_ = f"{settings.CRASH_AT}::".split(":")
    if place == name:
        _passages[name] = _passages.get(name, 0) + 1
        if _passages[name] == int(turn or 1):
            os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)
