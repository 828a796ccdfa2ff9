"""The link to the internet that the Docker bench has: a forward proxy that passes on so many bytes a second, no more.

Run as `python -m bench.link --host … --rate …`; the first line on standard output is its address. All connections share
the rate, as those of a household or of a CI runner do. What a CONNECT opens is not looked into. A connection with a
request in absolute form (RFC 9112 §3.2.2) belongs to the host of its first request, as apt's connections do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.processes import Process, Stoppable

if TYPE_CHECKING:
    from pathlib import Path

MEGABIT = 125_000  # bytes a second
_CHUNK = 1 << 16
_HEAD = 1 << 16  # bytes that the head of a request may have
_LAG = 0.05  # so many seconds without traffic, or of a busy machine, are made up for


@dataclass(slots=True)
class Meter:
    """Says how long to wait so that no more than `rate` bytes a second pass. Times are seconds of one clock."""

    rate: int
    _free: float = 0.0  # when the link has passed on all that it was given

    def wait(self, size: int, now: float) -> float:
        """The seconds to wait after `size` bytes that were ready at `now`."""
        self._free = max(self._free, now - _LAG) + size / self.rate
        return max(0.0, self._free - now)


class Link(Stoppable):
    """The running link, seen from the program that measures. Use as a context manager. `rate`: bytes a second."""

    def __init__(self, host: str, rate: int, log: Path) -> None:
        command = [sys.executable, "-m", "bench.link", f"--host={host}", f"--rate={rate}"]
        self._process = Process(command, log=log, stdout=subprocess.PIPE)
        self.url = self._process.line()

    def stop(self) -> None:
        """End it."""
        self._process.stop()


async def serve(host: str, meter: Meter) -> asyncio.Server:
    """Accept connections at a free port of `host`."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            await _relay(reader, writer, meter)
        writer.close()

    return await asyncio.start_server(accept, host, 0, limit=_HEAD)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, meter: Meter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, target = head.split(b" ", 2)[:2]
    opens = method == b"CONNECT"
    place = urlsplit(f"//{target.decode()}" if opens else target.decode())
    try:
        upstream, onward = await asyncio.open_connection(place.hostname, place.port or 80)
    except OSError:
        writer.write(b"HTTP/1.1 502 No way\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        return
    if opens:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        onward.write(head)
    up = asyncio.create_task(_pump(reader, onward, None))
    try:
        await _pump(upstream, writer, meter)
    finally:
        up.cancel()
        onward.transport.abort()
        await asyncio.gather(up, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, meter: Meter | None) -> None:
    while data := await source.read(_CHUNK):
        if meter is not None:
            await asyncio.sleep(meter.wait(len(data), time.monotonic()))
        target.write(data)
        await target.drain()
    target.write_eof()


async def _main(host: str, rate: int) -> None:
    server = await serve(host, Meter(rate))
    name, port = server.sockets[0].getsockname()[:2]
    sys.stdout.write(f"http://{name}:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--rate", type=int, required=True, help="bytes a second")
    options = parser.parse_args()
    asyncio.run(_main(options.host, options.rate))


if __name__ == "__main__":
    main()
