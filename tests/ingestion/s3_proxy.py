"""A proxy in front of the S3 server that sees each request, and may answer it with a failure of its own.

It is a process, since a client in this one may hold the interpreter lock while it waits for an answer.
"""

import argparse
import http.client
import json
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from zlib import crc32

ROOT = Path(__file__).parents[2]
PLAN = "/-/plan"  # PUT: a plan of faults as JSON; no bucket has such a name
SEEN = "/-/seen"  # GET: what has been asked since the plan


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case


class Proxy:
    """Faults of a proxy process: by default every request is passed on."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def fail_first(self, fault: int | str) -> None:
        """Half of all things fail the first time they are asked for: answered with this status, or "reset": carried
        out, and the connection broken instead of an answer."""
        self._plan({"first": fault})

    def fail_often(self, **shares: float) -> None:
        """These shares of requests fail: `error` 500, 502, 503 or 504 in turn, `hang` silence for HANG_S, `reset`
        in the middle of the upload."""
        self._plan(shares)

    def full(self) -> None:
        """The store has no room: every upload is refused, everything else goes on."""
        self._plan({"full": True})

    def pass_on(self) -> None:
        self._plan({})

    @property
    def seen(self) -> list[Seen]:
        with urllib.request.urlopen(self.endpoint + SEEN, timeout=30) as answer:
            return [Seen(**one) for one in json.load(answer)]

    @property
    def failed(self) -> Counter[str]:
        """How often each kind of failure has been given, since the start."""
        with urllib.request.urlopen(self.endpoint + "/-/failed", timeout=30) as answer:
            return Counter(json.load(answer))

    def _plan(self, plan: dict[str, object]) -> None:
        asked = urllib.request.Request(self.endpoint + PLAN, json.dumps(plan).encode(), method="PUT")
        urllib.request.urlopen(asked, timeout=30).close()


@contextmanager
def s3_proxy(target: str, *, hang_s: float = 2.0, seed: int = 1) -> Iterator[Proxy]:
    command = [sys.executable, "-m", "tests.ingestion.s3_proxy", target, "--hang-s", str(hang_s), "--seed", str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Proxy(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        if self.path.startswith("/-/"):
            return self._govern()
        fault = self._fault()
        if fault == "reset" and self.command in ("PUT", "POST") and self.server.plan.get("reset"):
            self.rfile.read(int(self.headers.get("content-length", 0)) // 2)
            return self._break()
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if fault == "hang":
            time.sleep(self.server.hang_s)
            return self._break()
        if isinstance(fault, int):
            return self._answer(fault, b"")
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        # The Host header stays the client's: it has signed it.
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fault == "reset":
            return self._break()
        length = answer.getheader("content-length") if self.command == "HEAD" else str(len(content))
        return self._answer(answer.status, content, answer.getheaders(), length or "0")

    def _fault(self) -> int | str | None:
        plan, thing = self.server.plan, f"{self.command} {self.path}"
        with self.server.lock:
            before = self.server.asked[thing]
            self.server.asked[thing] += 1
            headers = {k.lower(): v for k, v in self.headers.items()}
            self.server.seen.append({"method": self.command, "path": self.path, "headers": headers})
            fault = self._planned(plan, before)
            if fault is not None:
                self.server.failed[str(fault)] += 1
        return fault

    def _planned(self, plan: dict, before: int) -> int | str | None:
        if plan.get("full") and self.command in ("PUT", "POST"):
            return 507
        if "first" in plan:
            return plan["first"] if before == 0 and crc32(self.path.encode()) % 2 else None
        dice = self.server.dice.random()
        for kind in ("error", "hang", "reset"):
            if dice < (share := plan.get(kind, 0)):
                return self.server.dice.choice((500, 502, 503, 504)) if kind == "error" else kind
            dice -= share
        return None

    def _govern(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == PLAN:
            with self.server.lock:
                self.server.plan = json.loads(body)
                self.server.asked.clear()
                self.server.seen.clear()
            return self._answer(200, b"")
        told = self.server.seen if self.path == SEEN else self.server.failed
        return self._answer(200, json.dumps(told).encode())

    def _answer(
        self, status: int, content: bytes, headers: list[tuple[str, str]] | None = None, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers or ():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("content-length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _break(self) -> None:
        """Close without an answer, by a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def log_message(self, *_: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: str, hang_s: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.hang_s, self.dice = urlsplit(target).netloc, hang_s, random.Random(seed)
        self.plan: dict = {}
        self.seen: list[dict] = []
        self.asked: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None: ...  # a client that went away


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("target")
    given.add_argument("--hang-s", type=float, required=True)
    given.add_argument("--seed", type=int, required=True)
    asked = given.parse_args()
    server = _Server(asked.target, asked.hang_s, asked.seed)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
