"""A Docker engine that answers what a test wants: an HTTP server on a Unix socket, with a thread of its own.

On macOS, where an engine with a socket is in a virtual machine, it is on a port of loopback.

It knows the answers of an empty engine 20.10; `answers` replaces or adds some, by method and path without the API's
version. It records requests, and runs nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from proxy import operating_system

_VERSIONED = re.compile(r"^/v[0-9.]+(?=/)")

VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}
INFO = {
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    "SecurityOptions": ["name=seccomp,profile=default"],
    "SystemTime": "2026-01-02T03:04:05.123456789Z",
}
BRIDGE = {"Name": "bridge", "Id": "b" * 64, "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A request that arrived. `version`: of the API, as in "/v1.41"."""

    method: str
    path: str
    version: str
    query: Mapping[str, list[str]]

    @property
    def filters(self) -> Any:
        """The filters of the query, read."""
        return json.loads(self.query["filters"][0])


@dataclass(slots=True)
class FakeEngine:
    """`with running() as engine:`. An answer is a status and what is sent as JSON."""

    address: str
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    requests: list[EngineRequest] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which clients find it."""
        return {"DOCKER_HOST": self.address}

    def answer(self, method: str, path: str, value: Any, status: int = 200) -> None:
        """Have it answer so from now on."""
        self.answers[method, path] = (status, value)

    def asked(self, method: str, path: str) -> list[EngineRequest]:
        """The requests of this kind so far."""
        return [request for request in self.requests if (request.method, request.path) == (method, path)]


class _OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False


class _OnPort(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = False


@contextlib.contextmanager
def running() -> Iterator[FakeEngine]:
    """Start one. Its socket is in a folder with a short name: macOS has room for 104 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    engine = FakeEngine("")
    for method, path, value in (
        ("GET", "/version", VERSION),
        ("GET", "/info", INFO),
        ("GET", "/networks/bridge", BRIDGE),
        ("GET", "/containers/json", []),
    ):
        engine.answer(method, path, value)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            version = _VERSIONED.match(parts.path)
            path = _VERSIONED.sub("", parts.path)
            request = EngineRequest(self.command, path, version[0] if version else "", parse_qs(parts.query))
            engine.requests.append(request)
            status, value = engine.answers.get((self.command, path), (404, {"message": "page not found"}))
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "client"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Nothing."""

    server: _OnSocket | _OnPort
    if operating_system.has_containers():
        server = _OnSocket(str(folder / "docker.sock"), Handler)
        engine.address = f"unix://{folder}/docker.sock"
    else:
        server = _OnPort(("127.0.0.1", 0), Handler)
        engine.address = f"tcp://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="fake engine")
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        shutil.rmtree(folder)
