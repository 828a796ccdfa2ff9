"""A line to an index that is far away: each request takes its time, and each connection has its own rate.

Runs as a process of its own (`python -m bench.line PORT`); the first line on standard output is its address. It passes
bytes on between a client and a port of this machine and looks into none of them, so it works for every server. What a
client sends arrives after the delay; that is one pause for each request, since no client here sends a request before it
has the answer to the one before. Answers pass at the rate, without a burst. `Link` is the other kind of line: one rate
for everybody.
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

from bench.link import MEGABIT
from bench.processes import Process, Stoppable

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 1 << 16
_LAG = 0.05  # so many seconds that a busy machine delayed a chunk are made up for


@dataclass(frozen=True, slots=True)
class Reach:
    """How far away: `delay` in seconds for each request, `rate` in bytes a second of each connection (0: unlimited)."""

    delay: float
    rate: int = 0


FAR = Reach(0.040, 100 * MEGABIT)
NEAR = Reach(0.002)


@dataclass(slots=True)
class Pacer:
    """When the bytes of one connection have passed. Times are seconds of one clock."""

    rate: int
    _free: float = 0.0

    def begin(self, now: float) -> None:
        """A request passes: time without an answer earned nothing."""
        self._free = max(self._free, now)

    def wait(self, size: int, now: float) -> float:
        """The seconds that `size` bytes of an answer still take at `now`."""
        if not self.rate:
            return 0.0
        self._free = max(self._free, now - _LAG) + size / self.rate
        return max(0.0, self._free - now)


class Line(Stoppable):
    """The running line, seen from the program that measures. Use as a context manager. `port`: where it leads to."""

    def __init__(self, port: int, reach: Reach, log: Path) -> None:
        options = [str(port), f"--delay={reach.delay}", f"--rate={reach.rate}"]
        self._process = Process([sys.executable, "-m", "bench.line", *options], log=log, stdout=subprocess.PIPE)
        self.url = self._process.line()

    def stop(self) -> None:
        """End it."""
        self._process.stop()


async def serve(port: int, reach: Reach) -> asyncio.Server:
    """Accept connections at a free port of the loopback interface, and lead each to `port`."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await _connect(reader, writer, port, reach)
        writer.close()

    return await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024, limit=_CHUNK)


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, reach: Reach) -> None:
    upstream, onward = await asyncio.open_connection("127.0.0.1", port, limit=_CHUNK)
    pacer = Pacer(reach.rate)
    asking = asyncio.create_task(_requests(reader, onward, reach.delay, pacer))
    try:
        while data := await upstream.read(_CHUNK):
            if wait := pacer.wait(len(data), time.monotonic()):
                await asyncio.sleep(wait)
            writer.write(data)
            await writer.drain()
    finally:
        asking.cancel()
        onward.close()
        await asyncio.gather(asking, return_exceptions=True)


async def _requests(reader: asyncio.StreamReader, onward: asyncio.StreamWriter, delay: float, pacer: Pacer) -> None:
    while data := await reader.read(_CHUNK):
        await asyncio.sleep(delay)
        pacer.begin(time.monotonic())
        onward.write(data)
        await onward.drain()
    onward.close()


async def _main(port: int, reach: Reach) -> None:
    server = await serve(port, reach)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each request")
    parser.add_argument("--rate", type=int, default=0, help="bytes a second of each connection; 0: unlimited")
    options = parser.parse_args()
    asyncio.run(_main(options.port, Reach(options.delay, options.rate)))


if __name__ == "__main__":
    main()
