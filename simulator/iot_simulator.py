#!/usr/bin/env python3
"""Simulated people at home, their devices, their illnesses and their devices' faults: `--help` has examples."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if __name__ == "__main__":
    from simulator.environment import with_packages

    with_packages(ROOT)

from tqdm import tqdm

from simulator import episodes, faults, options, replay, truth
from simulator.faults import Faults, Sent, encode
from simulator.people import DAY, Kit, Person, ward
from simulator.transports import STDOUT, Kafka, Lines, NoBroker, Transport, Unreachable

FOREVER_S = 3600.0  # without a duration, random episodes and faults are spread over the first hour
AHEAD_S = 300  # the door refuses readings whose time is further ahead of the clock
USUAL_BROKER = "127.0.0.1:9092"  # where the demo has it, and most others
EXPLAINED = (Unreachable, replay.Unreadable, episodes.UnknownEpisode, faults.UnknownFault)


def main(argv: list[str] | None = None) -> int:
    """0: all was sent, or a SIGTERM; 1: some was not; 2: it could not begin; 130: Ctrl-C."""
    asked = options.read(argv)
    with _stop_on_signals() as stopping:
        try:
            to_send, total = _replayed(asked) if asked.replay else _simulated(asked)
            transport = _transport(asked, stopping)
        except EXPLAINED as problem:
            print(problem, file=sys.stderr)
            return 2
        except OSError as problem:
            print(f"{problem.filename}: {problem.strerror}. Choose another file.", file=sys.stderr)
            return 2
        if isinstance(transport, Kafka) and not asked.replay and _lead(asked) > AHEAD_S:
            print("Times ahead of the clock are refused by the door: give an earlier --start.", file=sys.stderr)
        print(f"Sending to {transport.name}.", file=sys.stderr)
        return _send(_paced(to_send, asked.speed, stopping), total, transport, stopping)


def _send(packets: Iterable[Sent], total: int | None, transport: Transport, stopping: Sequence[int]) -> int:
    count = 0
    try:
        with transport, tqdm(total=total, unit=" packets", disable=not _shows_progress(transport)) as progress:
            for sent in packets:
                transport.send(sent)
                count += 1
                progress.update()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        print(f"Stopped after {count} packets: nobody reads them any more.", file=sys.stderr)
        return 1
    if transport.failed:
        print(f"{transport.failed} of {count} packets did not arrive.", file=sys.stderr)
        return 1
    print(f"{count} packets sent{', then stopped as asked' if stopping else ''}.", file=sys.stderr)
    return 130 if signal.SIGINT in stopping else 0


def _shows_progress(transport: Transport) -> bool:
    """On a terminal, unless that is where the packets go."""
    return sys.stderr.isatty() and not (transport.name == STDOUT and sys.stdout.isatty())


def _simulated(asked: argparse.Namespace) -> tuple[Iterator[Sent], int | None]:
    begin, seconds = asked.start, asked.duration or FOREVER_S
    ill = [episodes.parse(text, asked.devices, begin) for text in asked.episode]
    ill += episodes.at_random(asked.episodes, asked.devices, begin, seconds, asked.seed)
    broken = [f for text in asked.faults for f in faults.parse(text, asked.devices, asked.kit, begin, seconds)]
    if asked.truth:
        asked.truth.write_text("".join(truth.lines(ill, broken, asked.kit)))
    kit = Kit(watch_every=1 / asked.rate, devices=asked.kit)
    people = [Person(asked.seed, number, ill) for number in range(1, asked.devices + 1)]
    packets = ward(people, begin, asked.duration or None, kit)
    total = int(asked.devices * asked.duration * asked.rate) if asked.duration and "watch" in asked.kit else None
    return Faults(broken).send(packets), total


def _lead(asked: argparse.Namespace) -> float:
    """By how many seconds the last packet's time is ahead of the clock when it is sent."""
    seconds = asked.duration or DAY
    return float(asked.start - time.time() + seconds - seconds / asked.speed)


def _replayed(asked: argparse.Namespace) -> tuple[Iterator[Sent], int]:
    series = replay.read(asked.replay, asked.columns, asked.person)
    if series.left_out:
        print(
            f"{series.left_out} rows are left out: no time, person or value, or the same as another.", file=sys.stderr
        )
    packets = replay.packets(series, asked.device)
    return (Sent(at, device, encode(content, device, at)) for at, device, content in packets), series.table.num_rows


def _transport(asked: argparse.Namespace, stopping: Sequence[int]) -> Transport:
    """Kafka unless something else was asked for; standard output if nothing was asked for and no broker answers."""
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if asked.transport in ("kafka", None):
        try:
            return Kafka(named or USUAL_BROKER, asked.account, stopping)
        except NoBroker:
            if asked.transport or named or asked.account:
                raise
            print(f"No Kafka answers at {USUAL_BROKER} (make demo starts one).", file=sys.stderr)
    path = (asked.output or Path("packets.jsonl")) if asked.transport == "file" else None
    return Lines(path, at_once=asked.speed < float("inf"))


def _paced(to_send: Iterable[Sent], speed: float, stopping: Sequence[int]) -> Iterator[Sent]:
    """Give each packet when its time has come, `speed` times faster than it was measured."""
    begun, first = time.monotonic(), None
    for sent in to_send:
        first = sent.at if first is None else first
        while not stopping and (wait := (sent.at - first) / speed - (time.monotonic() - begun)) > 0:
            time.sleep(min(wait, 0.2))
        if stopping:
            return
        yield sent


@contextmanager
def _stop_on_signals() -> Iterator[list[int]]:
    """A list that gets the number of the signal that asks us to stop. A second one ends the process at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
