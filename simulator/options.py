"""What can be asked of the simulator, and what is said when it makes no sense."""

import argparse
import math
import time
from datetime import UTC, datetime
from pathlib import Path

from simulator.people import DEVICES

EXAMPLES = """
examples:
  a ward at home, live, to Kafka:
    python iot_simulator.py --devices 100 --duration 60
  a day of twenty people as fast as it goes, to a file:
    python iot_simulator.py --devices 20 --duration 86400 --start 2026-03-01T00:00:00Z \\
        --speed max --transport file --output day.jsonl
  person 7 is short of oxygen for five minutes, some watches spike, and the truth about both:
    python iot_simulator.py --devices 10 --duration 600 --episode hypoxia:7:30:300 --faults spike --truth truth.jsonl
  a recorded series as the history that a signed-in account syncs:
    python iot_simulator.py --replay history.parquet --person 42 --account ACCOUNT
"""


def read(argv: list[str] | None = None) -> argparse.Namespace:
    """The options. `speed` is a float, infinite for "max"; ends the process (code 2) if they make no sense."""
    parser = argparse.ArgumentParser(
        prog="iot_simulator.py",
        description="Simulate people at home, their devices, their illnesses and their devices' faults.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _people(parser)
    _time(parser)
    _trouble(parser)
    _destination(parser)
    _recorded(parser)
    options = parser.parse_args(argv)
    if wrong := _wrong(options):
        parser.error(wrong)
    if options.forever:
        options.duration = 0.0
    if options.start is None:
        options.start = round(time.time(), 3)
    if options.speed is None:
        options.speed = math.inf if options.replay else 1.0
    return options


def _people(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("people and devices")
    group.add_argument("--devices", type=_count, default=100, help="people, each with a watch (default 100)")
    group.add_argument(
        "--kit",
        type=_kit,
        default="watch,cuff,thermometer",
        help=f"devices of each person, of {', '.join(DEVICES)} (default watch,cuff,thermometer)",
    )
    group.add_argument(
        "--rate", type=_above_zero, default=0.2, help="packets a second from each watch (default 0.2: one every 5 s)"
    )
    group.add_argument("--seed", type=_whole, default=1, help="one seed gives one ward, byte for byte (default 1)")


def _time(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("time")
    group.add_argument("--duration", type=_not_below_zero, default=60.0, help="seconds to simulate (default 60)")
    group.add_argument("--forever", action="store_true", help="until stopped; --duration 0 says the same")
    group.add_argument("--start", type=_instant, help="when it begins, RFC 3339, such as 2026-03-01T08:00:00Z (now)")
    group.add_argument(
        "--speed", type=_speed, help="times faster than real time, or max: no waiting (default 1; of --replay max)"
    )


def _trouble(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("illnesses and faults (times in seconds after the start)")
    group.add_argument(
        "--episode", action="append", default=[], metavar="KIND:PERSON:AFTER:DURATION", help="hypoxia or infection"
    )
    group.add_argument(
        "--episodes",
        type=_whole,
        default=0,
        metavar="N",
        help="so many people fall ill at random times (without a duration: in the first hour)",
    )
    group.add_argument(
        "--faults",
        action="append",
        default=[],
        metavar="KIND[:PERSON:AFTER:DURATION]",
        help="dropout, spike, stuck, clock_skew, duplicate, out_of_order, low_battery, malformed or empty_bed: of that "
        "person, or of one in ten; all: every kind in turn, one per person",
    )
    group.add_argument("--truth", type=Path, help="file for the true start and end of every episode and fault")


def _destination(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where it goes")
    group.add_argument(
        "--transport",
        choices=("kafka", "stdout", "file"),
        help="default: kafka, at KAFKA_BOOTSTRAP_SERVERS or 127.0.0.1:9092; stdout where neither is named or answers",
    )
    group.add_argument("--output", type=Path, help="the file of --transport file (default packets.jsonl)")


def _recorded(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a recorded series instead of simulated people")
    group.add_argument("--replay", type=Path, metavar="FILE", help="CSV or Parquet: time, person, any vitals")
    group.add_argument(
        "--columns",
        type=_columns,
        default={},
        help="the series' own names, such as time=ts,person=user,heart_rate=hr (usual names are recognised)",
    )
    group.add_argument("--person", help="this person of the series only")
    group.add_argument("--device", help="the device that sends it (default replay_PERSON)")
    group.add_argument("--account", help="the account that syncs it: it becomes that person's history (Kafka only)")


def _wrong(options: argparse.Namespace) -> str | None:
    """What makes no sense together."""
    if not options.replay and (options.columns or options.person or options.device or options.account):
        return "--columns, --person, --device and --account belong to --replay FILE"
    if options.replay and (options.episode or options.episodes or options.faults or options.truth):
        return "a recorded series is sent as it is: leave out --episode, --episodes, --faults and --truth"
    if options.account and options.transport in ("stdout", "file"):
        return "--account travels beside the packet: only --transport kafka can carry it"
    if options.output and options.transport != "file":
        return "--output is the file of --transport file"
    return None


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _above_zero(text: str) -> float:
    try:
        number = _number(text)
    except ValueError:
        number = 0.0
    if number <= 0:
        raise argparse.ArgumentTypeError(f"“{text}” is not a number above 0")
    return number


def _not_below_zero(text: str) -> float:
    try:
        number = _number(text)
    except ValueError:
        number = -1.0
    if number < 0:
        raise argparse.ArgumentTypeError(f"“{text}” is not a number of 0 or more")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"“{text}” is not a whole number of 0 or more")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"“{text}” is not a whole number of 1 or more")
    return int(text)


def _speed(text: str) -> float:
    return math.inf if text == "max" else _above_zero(text)


def _instant(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}”: write a time such as 2026-03-01T08:00:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _kit(text: str) -> tuple[str, ...]:
    asked = {name.strip() for name in text.split(",")}
    if unknown := asked - set(DEVICES):
        raise argparse.ArgumentTypeError(f"“{', '.join(sorted(unknown))}”: choose of {', '.join(DEVICES)}")
    return tuple(device for device in DEVICES if device in asked)


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name and column for name, _, column in pairs):
        raise argparse.ArgumentTypeError(f"“{text}”: write NAME=COLUMN,…, such as time=ts,heart_rate=hr")
    return {name.strip(): column.strip() for name, _, column in pairs}
