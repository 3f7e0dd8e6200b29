"""A proxy in front of the S3 server that sees each request, and may answer it with a failure of its own."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case


@dataclass
class Proxy:
    """`fault` says of a request and how many were like it (method and path) before: None to pass it on, a status to
    answer with, or "reset" to carry it out and break the connection instead of an answer."""

    endpoint: str
    fault: Callable[[Seen, int], int | str | None] = lambda seen, before: None
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def s3_proxy(target: str) -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.target = urlsplit(target).netloc
    server.proxy = proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        proxy: Proxy = self.server.proxy
        seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        before = sum(s.method == seen.method and s.path == seen.path for s in proxy.seen)
        proxy.seen.append(seen)
        fault = proxy.fault(seen, before)
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        # The Host header stays the client's: it has signed it.
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        if fault == "reset":
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("content-length") if self.command == "HEAD" else str(len(content))
        self.send_header("content-length", length or "0")
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def log_message(self, *_: object) -> None: ...
