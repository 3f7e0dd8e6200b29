#!/usr/bin/env python3
"""Simulated people at home, their devices, their illnesses and their devices' faults.

python iot_simulator.py --devices 100 --duration 60
python iot_simulator.py --devices 20 --duration 86400 --speed max --transport file --output day.jsonl
python iot_simulator.py --devices 10 --duration 600 --episode hypoxia:7:30:300 --faults spike --truth truth.jsonl
python iot_simulator.py --replay history.parquet --account ACCOUNT
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from simulator import episodes, faults, replay
from simulator.faults import Faults, Sent, encode
from simulator.people import Kit, Packet, Person, rfc3339, ward
from simulator.transports import Kafka, Lines, Transport, Unreachable

FOREVER_S = 3600.0  # without a duration, random episodes and faults are spread over the first hour


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=_positive, default=100, help="people, each with a watch (default 100)")
    parser.add_argument("--duration", type=float, default=60, help="seconds to simulate; 0: until stopped")
    parser.add_argument("--rate", type=float, default=0.2, help="packets a second from each watch (default 0.2)")
    parser.add_argument(
        "--kit",
        default="watch,cuff,thermometer",
        help="devices of each person, of watch, cuff, thermometer, oximeter, bed (default watch,cuff,thermometer)",
    )
    parser.add_argument("--seed", type=int, default=1, help="one seed gives one ward, byte for byte (default 1)")
    parser.add_argument("--start", type=_instant, help="when it begins, RFC 3339 (default now)")
    parser.add_argument("--speed", default="1", help="times faster than real time, or max (default 1)")
    parser.add_argument("--episodes", type=int, default=0, help="so many people fall ill at random times")
    parser.add_argument("--episode", action="append", default=[], help="KIND:PERSON:AFTER:DURATION, seconds")
    parser.add_argument("--faults", action="append", default=[], help="all, KIND, or KIND:PERSON:AFTER:DURATION")
    parser.add_argument("--truth", type=Path, help="file for the true start and end of every episode and fault")
    parser.add_argument("--transport", choices=("kafka", "stdout", "file"), default="kafka")
    parser.add_argument("--output", type=Path, help="the file of --transport file (default packets.jsonl)")
    parser.add_argument("--replay", type=Path, help="send a recorded series (CSV or Parquet) instead")
    parser.add_argument("--columns", default="", help="the series' own names: time=ts,person=user,heart_rate=hr")
    parser.add_argument("--person", help="replay this person of the series only")
    parser.add_argument("--account", help="the account that syncs the series: it becomes that person's history")
    options = parser.parse_args(argv)
    try:
        options.speed = float("inf") if options.speed == "max" else float(options.speed)
    except ValueError:
        parser.error("--speed is a number, or max")
    if options.rate <= 0 or options.speed <= 0 or options.duration < 0:
        parser.error("--rate and --speed are more than 0, --duration is 0 or more")
    unknown = set(options.kit.split(",")) - {"watch", "cuff", "thermometer", "oximeter", "bed"}
    if unknown:
        parser.error(f"--kit does not know {', '.join(sorted(unknown))}")
    return options


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    stopping = _stop_on_signals()
    try:
        to_send, total = _replayed(options) if options.replay else _simulated(options)
        transport = _transport(options)
    except (Unreachable, ValueError, replay.Unreadable) as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"Sending to {transport.name}.", file=sys.stderr)
    speed = float("inf") if options.replay and options.speed == 1 else options.speed
    count = 0
    with transport, tqdm(total=total, unit=" packets", disable=not sys.stderr.isatty()) as progress:
        for sent in _paced(to_send, speed, stopping):
            transport.send(sent)
            count += 1
            progress.update()
    failed = getattr(transport, "failed", 0)
    if failed:
        print(f"{failed} of {count} packets did not arrive.", file=sys.stderr)
        return 1
    print(f"{count} packets sent{', then stopped' if stopping else ''}.", file=sys.stderr)
    return 130 if signal.SIGINT in stopping else 0


def _simulated(options: argparse.Namespace) -> tuple[Iterator[Sent], int | None]:
    begin = options.start if options.start is not None else round(time.time(), 3)
    seconds = options.duration or FOREVER_S
    ill = [episodes.parse(text, begin) for text in options.episode]
    ill += episodes.at_random(options.episodes, options.devices, begin, seconds, options.seed)
    broken = [f for text in options.faults for f in faults.parse(text, options.devices, begin, seconds)]
    if options.truth:
        _write_truth(options.truth, ill, broken, options.kit.split(","))
    kit = Kit(watch_every=1 / options.rate, devices=frozenset(options.kit.split(",")))
    people = [Person(options.seed, number, ill) for number in range(1, options.devices + 1)]
    chunks = ward(people, begin, options.duration or None, kit)
    packets: Iterator[Packet] = (packet for chunk in chunks for packet in chunk)
    total = int(options.devices * options.duration * options.rate) if options.duration else None
    return Faults(broken).send(packets), total


def _replayed(options: argparse.Namespace) -> tuple[Iterator[Sent], int | None]:
    names = dict(pair.split("=", 1) for pair in options.columns.split(",") if "=" in pair)
    series = replay.read(options.replay, names, options.person)
    sent = (Sent(at, device, encode(dict(values), device, at)) for at, device, values in replay.packets(series))
    return sent, series.table.num_rows


def _transport(options: argparse.Namespace) -> Transport:
    if options.transport == "kafka":
        account: str | None = options.account
        return Kafka(os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"), lambda device: account)
    return Lines(None if options.transport == "stdout" else options.output or Path("packets.jsonl"))


def _paced(to_send: Iterable[Sent], speed: float, stopping: list[int]) -> Iterator[Sent]:
    """Give each packet when its time has come, `speed` times faster than it was measured."""
    begun, first = time.monotonic(), None
    for sent in to_send:
        first = sent.at if first is None else first
        while not stopping and (wait := (sent.at - first) / speed - (time.monotonic() - begun)) > 0:
            time.sleep(min(wait, 0.2))
        if stopping:
            return
        yield sent


def _stop_on_signals() -> list[int]:
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not the main thread: a test
            signal.signal(number, note)
    return received


def _write_truth(path: Path, ill: list[episodes.Episode], broken: list[faults.Fault], kit: list[str]) -> None:
    with path.open("w") as out:
        for what, events in (("episode", ill), ("fault", broken)):
            for event in events:
                devices = [f"{'device' if d == 'watch' else d}_{event.person}" for d in kit]
                times = {"start": rfc3339(event.start), "end": rfc3339(event.end)}
                line = {"what": what, "kind": event.kind, "person": event.person, "devices": devices, **times}
                out.write(json.dumps(line) + "\n")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _instant(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


if __name__ == "__main__":
    sys.exit(main())
