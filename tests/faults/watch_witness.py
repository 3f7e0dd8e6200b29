"""Where alerts are counted: at an open browser socket, and in a mailbox."""

import json
import re
import threading
import time
from collections import Counter
from typing import Any

from aiosmtpd.controller import Controller
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from tests.servers.missing import free_port


class OpenPage:
    """A page that somebody left open: it hears what changed, and after a lost connection everything since."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port, self._cookie = port, cookie
        self.changes: list[dict[str, Any]] = []
        self.connections = 0
        self._cursor: int | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "OpenPage":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()

    @property
    def is_open(self) -> bool:
        return self._cursor is not None

    def heard(self) -> Counter[tuple[int, str]]:
        """How often it heard of each step of each alert."""
        return Counter((c["alert"], c["what"]) for c in self.changes if c["kind"] == "alert")

    def _listen(self) -> None:
        while not self._leaving.is_set():
            since = "" if self._cursor is None else f"?since={self._cursor}"
            try:
                with connect(
                    f"ws://127.0.0.1:{self._port}/ws/live/{since}",
                    origin=f"http://127.0.0.1:{self._port}",  # type: ignore[arg-type]
                    additional_headers={"Cookie": f"sessionid={self._cookie}"},
                ) as socket:
                    self.connections += 1
                    self._take_from(socket)
            except (OSError, WebSocketException):
                time.sleep(0.2)

    def _take_from(self, socket: Any) -> None:
        while not self._leaving.is_set():
            try:
                told = json.loads(socket.recv(timeout=0.2))
            except TimeoutError:
                continue
            except ConnectionClosed:
                return
            self._cursor = told["cursor"]
            self.changes += told["changes"]


class Mailbox:
    """An SMTP server that keeps what it is given."""

    def __init__(self) -> None:
        self.port = free_port()
        self.letters: list[tuple[str, str, str]] = []  # recipient, Message-ID, text
        self._server = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> "Mailbox":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        text = envelope.content.decode()
        message_id = re.search(r"^Message-ID: *(\S+)", text, re.MULTILINE | re.IGNORECASE)
        for recipient in envelope.rcpt_tos:
            self.letters.append((recipient, message_id[1] if message_id else "", text))
        return "250 OK"

    def received(self) -> Counter[tuple[str, int]]:
        """How many letters each person got about each alert."""
        found: Counter[tuple[str, int]] = Counter()
        for recipient, _, text in self.letters:
            link = re.search(r"/alerts?/(\d+)", text)
            found[recipient, int(link[1]) if link else 0] += 1
        return found
