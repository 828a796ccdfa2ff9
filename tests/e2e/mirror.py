"""A mirror of an archive: an HTTP server that serves its states, in between two of them too, and counts what it sends.

Used by the end-to-end tests: a server of the standard library in threads, since they run no event loop.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import ssl
import threading
from collections import Counter
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit

from tests.e2e.archive import File, State
from tests.e2e.clients import Failed

_RELEASES = ("InRelease", "Release", "Release.gpg")


class Mix(Enum):
    """What a mirror in between two states gives."""

    NONE = "the new state"
    RELEASE_FIRST = "new Release files, old indexes"
    RELEASE_LAST = "old Release files, new indexes"
    RANDOM = "each file of either state, anew for each request"


class Mirror:
    """`with Mirror(state) as mirror:`; it is at `host`, on loopback. Safe to be changed while it serves."""

    def __init__(self, state: State, seed: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._old = self._new = state
        self._mix = Mix.NONE
        self._chance = random.Random(seed)
        self.sent: Counter[str] = Counter()  # body bytes by path
        mirror = self

        class Handler(_Handler):
            def do_GET(self) -> None:
                self.answer(mirror)

        self._server = _Server(("127.0.0.1", free_port()), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        """Its port."""
        return self._server.server_address[1]

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def move(self, state: State, mix: Mix = Mix.NONE) -> None:
        """Go on to `state`, or so far as `mix` says."""
        self._old, self._mix, self._new = self._new, mix, state

    def settle(self) -> None:
        """Have arrived."""
        self._mix = Mix.NONE

    def file(self, path: str) -> File | None:
        """What is at a path now."""
        released = path.rpartition("/")[2] in _RELEASES
        arrived = {
            Mix.NONE: True,
            Mix.RELEASE_FIRST: released,
            Mix.RELEASE_LAST: not released,
            Mix.RANDOM: self._chance.random() < 0.5,
        }[self._mix]
        return (self._new if arrived else self._old).files.get(path)

    def pool_bytes(self) -> int:
        """Bytes of packages that were sent."""
        return sum(size for path, size in self.sent.items() if path.endswith(".deb"))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def free_port() -> int:
    """A port of the loopback interface that nobody uses now, and that apt-cacher-ng can: below 32768."""
    for port in random.SystemRandom().sample(range(10_000, 32_768), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Failed("no port is free on the loopback interface")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = 1 << 16

    def answer(self, mirror: Mirror) -> None:
        """Answer a GET: whole, a range, or not modified."""
        path = unquote(urlsplit(self.path).path).lstrip("/")
        path = path.removeprefix("./").replace("/./", "/")
        file = mirror.file(path)
        if file is None:
            self._send(HTTPStatus.NOT_FOUND, b"There is no such file.\n", {})
            return
        headers = {"Last-Modified": formatdate(file.modified, usegmt=True), "Accept-Ranges": "bytes"}
        since = self.headers.get("If-Modified-Since")
        if since and parsedate_to_datetime(since).timestamp() >= int(file.modified):
            self._send(HTTPStatus.NOT_MODIFIED, None, headers)
            return
        status, body = HTTPStatus.OK, file.body
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span and self.headers.get("If-Range", headers["Last-Modified"]) == headers["Last-Modified"]:
            start, end = int(span[1]), min(int(span[2] or len(body)) + 1, len(body))
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
            status, body = HTTPStatus.PARTIAL_CONTENT, body[start:end]
        mirror.sent[path] += len(body)
        self._send(status, body, headers)

    def _send(self, status: HTTPStatus, body: bytes | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's name
        """Nothing: the tests look at what arrived."""
