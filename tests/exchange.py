"""One request over a bare connection, and the answer as it went over the wire: for what a client library would hide."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Exchange:
    """Everything up to the end of the connection: the head without its empty line, then the rest, framing included.

    `reset` tells that it ended by RST.
    """

    head: str
    rest: bytes
    reset: bool

    @property
    def status(self) -> str:
        """The second word of the first line."""
        return self.head.split(" ")[1]


async def ask(url: str, method: str = "GET", **headers: str) -> Exchange:
    """Send one request that asks for the end of the connection. `if_range="…"` becomes the header `If-Range`."""
    parts = urlsplit(url)
    lines = [f"{method} {url[url.index(parts.netloc) + len(parts.netloc) :]} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return await send(url, "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))


async def send(url: str, request: bytes) -> Exchange:
    """Send these bytes to the host and port of `url`, and read until the connection ends."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    received, reset = bytearray(), False
    try:
        writer.write(request)
        while piece := await reader.read(1 << 16):
            received += piece
    except ConnectionError:
        reset = True
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    return Exchange(head.decode("latin-1"), rest, reset)
