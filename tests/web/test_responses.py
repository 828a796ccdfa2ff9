"""What is counted of an answer. How bodies leave is held by the flows."""

from __future__ import annotations

from typing import cast

from proxy.model import Query, Source
from proxy.web.answer_plan import Framing
from proxy.web.responses import AlreadySent, Exchange
from proxy.web.server import ClientConnection


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
