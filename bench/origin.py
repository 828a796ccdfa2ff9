"""The upstream of all servers: a local index that counts the body bytes it sends.

Runs as a process of its own (`python -m bench.origin FOLDER`), started by `Origin`. Threads and blocking `sendfile`
keep it faster than any server before it. With `--rate` every connection gets that many bytes a second, evenly and
without a burst, after `--delay` seconds for each answer: as a content delivery network does. It honours single ranges
(RFC 9110 §14), `If-Range` and `If-None-Match`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

from bench import content
from bench.processes import Process, Stoppable

_COUNTS = "/+counts"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_LAST_MODIFIED = "Mon, 01 Jan 2024 00:00:00 GMT"
# Unlimited, a call of sendfile may move this much; limited, a step lasts this many seconds.
_CHUNK = 8 * content.MIB
_STEP = 0.02
# So many seconds that a busy machine delayed a step are made up for.
_LAG = 0.2
# Seconds without a byte after which the origin counts as idle.
_QUIET = 0.3


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate` in bytes a second for each connection (0: unlimited), `delay` in seconds before each answer."""

    name: str
    rate: int = 0
    delay: float = 0.0


UNLIMITED = Pace("unlimited")
LIMITED = Pace("20 MB/s per connection", rate=20_000_000, delay=0.03)


class Origin(Stoppable):
    """The running origin, seen from the program that measures. Use as a context manager."""

    def __init__(self, folder: Path, pace: Pace, log: Path) -> None:
        self.pace = pace
        options = [str(folder), f"--rate={pace.rate}", f"--delay={pace.delay}"]
        command = [sys.executable, "-m", "bench.origin", *options]
        self._process = Process(command, log=log, stdout=subprocess.PIPE)
        self.url = self._process.line()

    def sent(self, ware: content.Ware) -> int:
        """Body bytes of `ware` sent so far, over all connections."""
        return self._counts().get(ware.path, 0)

    def settle(self, limit: float) -> None:
        """Wait until nothing is being sent: some servers go on fetching after their clients left. At most `limit` s."""
        end = time.monotonic() + limit
        before = self._counts()
        while time.monotonic() < end:
            time.sleep(_QUIET)
            if (now := self._counts()) == before:
                return
            before = now

    def _counts(self) -> dict[str, int]:
        with urllib.request.urlopen(self.url + _COUNTS, timeout=30) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts

    def stop(self) -> None:
        """End it."""
        self._process.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, folder: Path, pace: Pace) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pace = pace
        wares, pages = content.read(folder)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.files = {ware.path: (folder / "files" / ware.name, ware) for ware in wares}
        self.pages = {
            f"/simple/{name}/": page.replace(content.ORIGIN, self.url).encode() for name, page in pages.items()
        }
        links = "".join(f'<a href="/simple/{name}/">{name}</a><br />\n' for name in pages)
        self.pages["/simple/"] = f"<!DOCTYPE html>\n<html><body>\n{links}</body></html>\n".encode()
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def count(self, path: str, size: int) -> None:
        with self._lock:
            self._counts[path] = self._counts.get(path, 0) + size

    def counts(self) -> bytes:
        with self._lock:
            return json.dumps(self._counts).encode()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    _ready = 0.0

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing: the counts are what is asked for."""

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path == _COUNTS:
            self._page(self.server.counts(), "application/json", body=body)
            return
        if self.server.pace.delay:
            time.sleep(self.server.pace.delay)
        if (page := self.server.pages.get(path)) is not None:
            self._page(page, "text/html; charset=utf-8", body=body)
        elif (found := self.server.files.get(path)) is not None:
            self._file(*found, body=body)
        elif path + "/" in self.server.pages:
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", path + "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _page(self, page: bytes, kind: str, *, body: bool) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "max-age=600, public")
        self.end_headers()
        if body:
            self.wfile.write(page)

    def _file(self, file: Path, ware: content.Ware, *, body: bool) -> None:
        etag = f'"{ware.sha256[:32]}"'
        if self.headers.get("If-None-Match") == etag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", etag)
            self.end_headers()
            return
        start, end, status = 0, ware.size, HTTPStatus.OK
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range", etag) in {etag, _LAST_MODIFIED}:
            start, end, status = _span(asked[1], asked[2], ware.size)
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        if status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.send_header("Content-Range", f"bytes */{ware.size}")
        elif status is HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{ware.size}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", _LAST_MODIFIED)
        self.send_header("Cache-Control", "max-age=365000000, immutable, public")
        self.end_headers()
        if body:
            self.wfile.flush()
            with file.open("rb") as source:
                self._send(source, ware.path, start, end)

    def _send(self, source: IO[bytes], path: str, start: int, end: int) -> None:
        """Send the half-open range, at the pace; a client that left ends the connection."""
        rate = self.server.pace.rate
        chunk = int(rate * _STEP) or _CHUNK
        # The pace is the connection's and goes on from one answer to the next; time without an answer earns nothing.
        self._ready = max(self._ready, time.monotonic())
        while start < end:
            try:
                sent = os.sendfile(self.connection.fileno(), source.fileno(), start, min(chunk, end - start))
            except OSError:
                self.close_connection = True
                return
            self.server.count(path, sent)
            start += sent
            if rate:
                self._ready = max(self._ready, time.monotonic() - _LAG) + sent / rate
                time.sleep(max(0.0, self._ready - time.monotonic()))


def _span(first: str, last: str, size: int) -> tuple[int, int, HTTPStatus]:
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(size - int(last or 0), 0), size
    if start >= end:
        return 0, 0, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return start, end, HTTPStatus.PARTIAL_CONTENT


def main() -> None:
    """Serve a folder until the process is ended; the first line on standard output is the address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    server = _Server(options.folder, Pace("", options.rate, options.delay))
    sys.stdout.write(server.url + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
