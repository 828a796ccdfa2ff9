"""Connections to upstream, as the client keeps them: who reads one owns it alone.

The client makes a `Connector` for each pool, and `reply` lets `part_at_end` see to every body. A connection that is
handed back must hold nothing that was not read, and nobody who has read from it may reach it any more.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler


class Connection(ResponseHandler):
    """aiohttp's own, but for one rule: what nobody asked for is no answer to the next request.

    A server may say "408 Request Timeout" to an idle connection, or send more than its length said.
    """

    def is_connected(self) -> bool:
        """Whether the pool may give this connection to a request."""
        return super().is_connected() and not self.should_close


class Connector(aiohttp.TCPConnector):
    """A pool of such connections."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 aiohttp's own
        super().__init__(**options)
        kind: type[ResponseHandler] = Connection
        self._factory = functools.partial(kind, loop=self._loop)


def part_at_end(content: aiohttp.StreamReader) -> None:
    """See to it that a body lets go of its connection when all of it came.

    aiohttp gives the connection to the next request then, and the body goes on to resume it whenever its own queue is
    read: it would do so below another body that is read at another pace.
    """
    if content is aiohttp.EMPTY_PAYLOAD:
        return
    nothing = BaseProtocol(asyncio.get_running_loop())  # a protocol without a transport

    def part() -> None:
        content._protocol = nothing  # noqa: SLF001 aiohttp has no other way

    content.on_eof(part)
