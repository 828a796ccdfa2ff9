"""The edge's last lines of defence, over a real connection. What it does with usual requests is held by the flows."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest
from aiohttp import web

from proxy.errors import NotAllowed, NotFound, UpstreamUnreachable
from proxy.events import Event, Served
from proxy.model import Outcome
from proxy.web.edge import Edge
from proxy.web.own_pages import OwnPages
from proxy.web.server import Server
from tests.flows.asking import SteppedClock


class Failing:
    """A service for indexes at which every answer fails with `error`."""

    mounts = frozenset({"pypi"})
    public = mounts

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def answer(self, query: object) -> Any:
        """Fail."""
        raise self.error


async def asked(
    error: BaseException, path: str = "/pypi/simple/demo/", agent: str = "pip/26.0"
) -> tuple[bytes, list[Event]]:
    """All that a client gets whose request meets `error`, and what was counted."""
    events: list[Event] = []
    nothing: Any = None
    pages = OwnPages(lambda: (b"", "text/plain"), lambda: None, nothing, {"pypi": "pypi/simple/"}, frozenset())
    indexes = cast("Any", Failing(error))
    edge = Edge(
        indexes, indexes, nothing, nothing, nothing, pages, nothing, events.append, SteppedClock(), "via", frozenset()
    )
    runner = web.ServerRunner(Server(edge.handle, lambda connection, data: False, 5.0))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = cast("asyncio.Server", site._server).sockets[0].getsockname()[1]
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        fields = f"Host: cache\r\nUser-Agent: {agent}\r\nConnection: close"
        writer.write(f"GET {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    finally:
        await runner.cleanup()
    return answer, events


@pytest.mark.parametrize(("error", "status"), [(UpstreamUnreachable("away"), 502), (NotAllowed("no"), 403)])
async def test_handle__known_error(error: Exception, status: int) -> None:
    """The answer has its status and its text, counts as an error, and a page in a browser may read it."""
    answer, events = await asked(error)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Access-Control-Allow-Origin: *" in answer
    assert answer.endswith(f"{error}\n".encode())
    (served,) = events
    assert isinstance(served, Served)
    assert (status, Outcome.ERROR, "pypi") == (served.status, served.outcome, served.upstream)


@pytest.mark.parametrize(
    ("path", "agent", "line"),
    [
        ("/pypi/simple/demo/", "pip/26.0", b"HTTP/1.1 404 Not Found\r\n"),
        ("/pypi/simple/demo/", "Debian APT-HTTP/1.3 (3.0.3)", b"HTTP/1.1 404 Not Found (not this)\r\n"),
        ("/other/simple/demo/", "pip/26.0", b"HTTP/1.1 404 Not Found (There is no index at this address: "),
    ],
)
async def test_handle__reason_phrase(path: str, agent: str, line: bytes) -> None:
    """It has the text of an error where a line of somebody's settings may be wrong, and wherever apt asks."""
    answer, _ = await asked(NotFound("not this"), path, agent)

    assert answer.startswith(line)


@pytest.mark.parametrize("error", [ValueError("a defect"), ConnectionResetError("gone")])
async def test_handle__unexpected_error(error: Exception, complaints: list[logging.LogRecord]) -> None:
    """The connection breaks: no answer ends as if it were whole. A defect is logged; a client that went away is not."""
    answer, events = await asked(error)

    assert answer == b""
    (served,) = events
    assert isinstance(served, Served)
    assert (499, Outcome.ERROR) == (served.status, served.outcome)
    assert isinstance(error, ValueError) == bool(complaints)
