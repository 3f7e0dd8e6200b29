"""The truth about a run: which episode and which fault whom, and from when to when. JSON lines, for scoring."""

import json
from collections.abc import Iterable, Iterator

from simulator import episodes, faults
from simulator.episodes import Episode
from simulator.faults import Fault
from simulator.people import device_id, rfc3339


def lines(ill: Iterable[Episode], broken: Iterable[Fault], kit: Iterable[str]) -> Iterator[str]:
    """One line each; `devices` are those of the person's kit that show it, times are RFC 3339 in UTC."""
    kit = tuple(kit)
    for episode in ill:
        yield _line("episode", episode, episodes.shown_by(episode.kind, kit))
    for fault in broken:
        yield _line("fault", fault, faults.hits(fault.kind, kit))


def _line(what: str, event: Episode | Fault, devices: Iterable[str]) -> str:
    said = {
        "what": what,
        "kind": event.kind,
        "person": event.person,
        "devices": [device_id(device, event.person) for device in devices],
        "start": rfc3339(event.start),
        "end": rfc3339(event.end),
    }
    return json.dumps(said) + "\n"
