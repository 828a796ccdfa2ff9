"""Tunnels: bytes between a client and a host behind CONNECT, passed on as they come (RFC 9110 §9.3.6).

The edge hands CONNECT requests over. apt opens a tunnel for each `https://` source when it has a proxy. The bytes are
counted in both directions, and never read, stored or changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from proxy.events import Tunnelled
from proxy.ports import Observer
from proxy.upstream.tunnel_connections import HostPort, Streams
from proxy.web.responses import AlreadySent, Exchange
from proxy.web.server import reset

_CHUNK = 1 << 16  # bytes
# RFC 9110 §9.3.6: a 2xx answer to CONNECT has no length.
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nServer: pullthrough\r\n\r\n"

Open = Callable[[HostPort], Awaitable[Streams]]


@dataclass(frozen=True, slots=True)
class Tunnels:
    """Carries bytes both ways until both sides have ended, or neither sends anything for `idle_timeout` seconds."""

    open: Open
    idle_timeout: float
    observer: Observer

    async def carry(self, exchange: Exchange, to: HostPort) -> AlreadySent:
        """Answer, and pass bytes on. The connection cannot be used for anything else afterwards.

        Raises what `open` raises, before anything was sent; ConnectionError when one side breaks its connection.
        """
        # asyncio tells a new protocol nothing of what was written before it: the tunnel would not know that it waits.
        await exchange.connection.flushed()
        host = await self.open(to)
        with _ending(host):
            client = exchange.connection.leave_http()
            with _ending(client):
                exchange.status = 200
                client[1].write(_ESTABLISHED)
                await self._pass_on(client, host)
        return AlreadySent(200, keep_alive=False)

    async def _pass_on(self, client: Streams, host: Streams) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.idle_timeout) as limit, asyncio.TaskGroup() as both:

                def moved(event: Tunnelled) -> None:
                    limit.reschedule(loop.time() + self.idle_timeout)
                    self.observer(event)

                both.create_task(_pump(client, host, lambda size: moved(Tunnelled(to_host=size))), name="tunnel up")
                both.create_task(_pump(host, client, lambda size: moved(Tunnelled(to_client=size))), name="tunnel down")
        except* OSError as broken:  # of a host that is gone the system may say that there is no route to it
            raise ConnectionAbortedError("The tunnel broke.") from broken


@contextlib.contextmanager
def _ending(streams: Streams) -> Iterator[None]:
    """Close a connection in the end. After an error, reset it: half a message must not look whole."""
    try:
        yield
    except BaseException:
        reset(streams[1].transport)
        raise
    finally:
        streams[1].close()


async def _pump(source: Streams, sink: Streams, moved: Callable[[int], None]) -> None:
    """Pass one direction on, no faster than the other side takes it. Its end is passed on too; the other may go on."""
    reader, (_, writer) = source[0], sink
    while piece := await reader.read(_CHUNK):
        if writer.is_closing():
            raise ConnectionResetError("The other side of the tunnel closed its connection.")
        writer.write(piece)
        moved(len(piece))  # before the wait: a side that closes once it has all of it ends that
        await writer.drain()
    with contextlib.suppress(OSError):  # closed already
        if writer.can_write_eof():  # TLS, which leads to a proxy at an https address, cannot
            writer.write_eof()
