"""Tunnels: what a client and a host say to each other behind CONNECT, passed on as it comes (RFC 9110 §9.3.6).

The edge hands a CONNECT request over. apt opens one for each `https://` source when it is given a proxy. Nothing that
passes is read, kept or changed; bytes are counted in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from proxy.events import Tunnelled
from proxy.ports import Observer
from proxy.upstream.lines import Line, Place
from proxy.web.responses import Exchange, Sent
from proxy.web.server import reset

_CHUNK = 1 << 16  # bytes
# RFC 9110 §9.3.6: a 2xx answer to CONNECT has no length.
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nServer: pullthrough\r\n\r\n"

Open = Callable[[Place], Awaitable[Line]]


@dataclass(frozen=True, slots=True)
class Tunnels:
    """Carries bytes both ways until both sides have ended, or neither says anything for `idle_timeout` seconds."""

    open: Open
    idle_timeout: float
    observer: Observer

    async def carry(self, exchange: Exchange, to: Place) -> Sent:
        """Answer, and pass on what comes; the connection cannot be used for anything else afterwards.

        Raises what opening the line raises, before anything was sent; ConnectionError when one side broke off.
        """
        host = await self.open(to)
        with _ending(host):
            client = exchange.connection.leave_http()
            with _ending(client):
                exchange.status = 200
                client[1].write(_ESTABLISHED)
                await self._pass_on(client, host)
        return Sent(200, keep_alive=False)

    async def _pass_on(self, client: Line, host: Line) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.idle_timeout) as limit, asyncio.TaskGroup() as both:

                def moved(event: Tunnelled) -> None:
                    limit.reschedule(loop.time() + self.idle_timeout)
                    self.observer(event)

                both.create_task(_pump(client, host, lambda size: moved(Tunnelled(to_host=size))), name="tunnel up")
                both.create_task(_pump(host, client, lambda size: moved(Tunnelled(to_client=size))), name="tunnel down")
        except* (ConnectionError, TimeoutError) as broken:
            raise ConnectionAbortedError("The tunnel broke.") from broken


@contextlib.contextmanager
def _ending(line: Line) -> Iterator[None]:
    """Close a line in the end; or break it, since half of a message must not look like the whole."""
    try:
        yield
    except BaseException:
        reset(line[1].transport)
        raise
    finally:
        line[1].close()


async def _pump(source: Line, sink: Line, moved: Callable[[int], None]) -> None:
    """Pass on one direction, no faster than it is taken; its end is passed on too, while the other may go on."""
    reader, (_, writer) = source[0], sink
    while piece := await reader.read(_CHUNK):
        if writer.is_closing():
            raise ConnectionResetError("The other side of the tunnel is gone.")
        writer.write(piece)
        moved(len(piece))  # a side that closes once it has all of it ends the wait below
        await writer.drain()
    with contextlib.suppress(OSError):  # gone already
        if writer.can_write_eof():  # not within TLS, as to a proxy that is reached by https
            writer.write_eof()
