"""One download over one connection, as light as a client can be, so that the server is what is measured.

Bodies are discarded inside the kernel (`MSG_TRUNC`, tcp(7)) unless they are kept to be checked; checking happens after
the clock has stopped. `load` and the cases call it.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import socket
import struct
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.content import Ware

# Address space that MSG_TRUNC needs as a bound and never touches.
_SINK = mmap.mmap(-1, 64 << 20)
_PEEK = 16 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = 200
_HOPS = 4


class ClientError(Exception):
    """A download that did not come as it should; the text says how."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers (lower-case names) of an answer."""

    status: int
    headers: dict[str, str]

    @property
    def length(self) -> int:
        """`Content-Length`. Raises ClientError where there is none: no server here has a reason to leave it out."""
        try:
            return int(self.headers["content-length"])
        except KeyError:
            raise ClientError("answer without Content-Length") from None


@dataclass(frozen=True, slots=True)
class Download:
    """What one client saw: seconds to the first byte of the body, seconds to the end, bytes, and what went wrong."""

    first: float
    total: float
    size: int
    error: str | None = None


class Connection:
    """A blocking keep-alive connection to the host of `url`; an idle time of `timeout` seconds is an error."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host = parts.netloc
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout)
        # A time-out of the kernel's: Python's own would cost a poll before every receive.
        self.socket.settimeout(None)
        limit = struct.pack("ll", int(timeout), 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    def ask(self, url: str) -> Head:
        """Send a GET and take the head of the answer off the connection. Raises ClientError, OSError."""
        path = urllib.parse.urlsplit(url).path
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\r\n"
        self.socket.sendall(request.encode())
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            before = len(head)
            peeked = self.socket.recv(_PEEK, socket.MSG_PEEK)
            if not peeked:
                raise ClientError("connection closed before an answer")
            head += peeked
            end = head.find(b"\r\n\r\n")
            self.socket.recv(end + 4 - before if end >= 0 else len(peeked))
        status, *lines = head[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return Head(int(status.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs})

    def drop(self, size: int) -> int:
        """Discard up to `size` bytes of body; gives how many, 0 at the end of the connection."""
        return self.socket.recv_into(_SINK, min(size, len(_SINK)), socket.MSG_TRUNC)

    def close(self) -> None:
        """End the connection, also under another thread that waits on it."""
        with contextlib.suppress(OSError):  # the other side was first
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def memory(ware: Ware) -> memoryview:
    """Where the body of `ware` can be kept. It is there already: to be given memory takes as long as to fill it."""
    room = mmap.mmap(-1, ware.size)
    room[:: mmap.PAGESIZE] = bytes(-(-ware.size // mmap.PAGESIZE))
    return memoryview(room)


def download(url: str, ware: Ware, *, timeout: float, body: memoryview | None = None, follow: bool = True) -> Download:
    """Fetch `url`, which should be `ware`. `body`: where to keep it; its sha256 is checked after the clock has stopped.

    `timeout` is for the whole download, in seconds. Redirects are followed on the clock, as pip does, unless `follow`
    is false. Failures are told in the value, never raised.
    """
    begin = time.perf_counter()
    first, offset = 0.0, 0
    try:
        connection = _open(url, ware, timeout, follow=follow)
        try:
            while offset < ware.size and time.perf_counter() - begin < timeout:
                got = (
                    connection.drop(ware.size - offset) if body is None else connection.socket.recv_into(body[offset:])
                )
                first = first or time.perf_counter() - begin
                if not got:
                    break
                offset += got
        finally:
            connection.close()
    except (ClientError, OSError, ValueError) as error:
        return Download(first, time.perf_counter() - begin, offset, _words(error))
    total = time.perf_counter() - begin
    return Download(first, total, offset, _fault(ware, offset, body, late=total >= timeout))


def _open(url: str, ware: Ware, timeout: float, *, follow: bool) -> Connection:
    for _ in range(_HOPS):
        connection = Connection(url, timeout)
        try:
            head = connection.ask(url)
            if head.status == _OK and head.length == ware.size:
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        if head.status not in _REDIRECTS or not follow:
            raise ClientError(f"status {head.status}, {head.headers.get('content-length', 'no')} bytes announced")
        url = urllib.parse.urljoin(url, head.headers["location"])
    raise ClientError("redirected in a circle")


def _fault(ware: Ware, size: int, body: memoryview | None, *, late: bool) -> str | None:
    if size != ware.size:
        return "took too long" if late else f"{size} bytes instead of {ware.size}"
    if body is not None and hashlib.sha256(body).hexdigest() != ware.sha256:
        return "wrong bytes"
    return None


def _words(error: Exception) -> str:
    if isinstance(error, (BlockingIOError, TimeoutError)):
        return "took too long"
    return str(error) or type(error).__name__
