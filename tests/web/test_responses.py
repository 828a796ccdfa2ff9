"""What is counted of an answer. How bodies leave is held by the flows."""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import cast

import pytest

from proxy.model import Query, Source
from proxy.web import responses
from proxy.web.answer_plan import Framing
from proxy.web.responses import AlreadySent, Exchange
from proxy.web.sender import Transfer
from proxy.web.sender_threads import SenderThreads
from proxy.web.server import ClientConnection
from tests.sockets import connected


def test_exchange__counts_by_source() -> None:
    """Bytes add up, and sources that sent nothing are not there."""
    exchange = Exchange(cast("ClientConnection", None), Query(None), Framing((1, 1), keep_alive=True), 0.0)
    for source, size in ((Source.CACHE, 3), (Source.UPSTREAM, 0), (Source.CACHE, 4)):
        exchange.count(source, size)
    assert exchange.sent == {Source.CACHE: 7}


async def test_already_sent__tells_whether_the_connection_stays() -> None:
    """An answer that has left already has nothing left to send."""
    stays, ends = AlreadySent(200, keep_alive=True), AlreadySent(206, keep_alive=False)
    await stays.write_eof()
    assert ((200, True), (206, False)) == ((stays.status, stays.keep_alive), (ends.status, ends.keep_alive))


@pytest.mark.parametrize(("size", "all_of_it"), [(1000, True), (64 << 20, False)])
async def test_offer__what_the_socket_takes(size: int, all_of_it: bool) -> None:
    """A short body leaves at once; of one that is too long for the socket a thread sends the rest."""
    body = os.urandom(1000) * (size // 1000)
    senders = SenderThreads(1, 30.0)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(body)
            file.flush()
            async with connected() as (transport, reader, _):
                transfer = Transfer(b"head", 0, len(body), file.fileno())
                responses._offer(transport, transfer)
                assert (b"", all_of_it) == (transfer.head, transfer.position == len(body))
                sending = asyncio.create_task(senders.send(transport, transfer))
                assert b"head" + body == await reader.readexactly(4 + len(body))
                await sending
    finally:
        senders.close()


async def test_offer__client_gone() -> None:
    """Nothing is sent to a client that went away; what follows finds out."""
    async with connected() as (transport, _, _):
        transport.abort()
        transfer = Transfer(b"head", 0, 4, -1)
        responses._offer(transport, transfer)
        assert not transfer.position
