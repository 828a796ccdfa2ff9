"""The list of all projects, passed through as it streams."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import exchange, faults, pages
from tests.bodies import Joined, Noise, Plain
from tests.conftest import MakeProxy
from tests.flows.reading import get
from tests.gates import Gate
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running

LIST = "/pypi/simple/"
ROWS = '<!DOCTYPE html><html><body>\n<a href="/simple/one/">One</a>\n<a href="/simple/two/">Two</a>\n</body></html>'


async def test_html__links_become_relative(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Root-relative links would leave the mount; they lead to the pages below it."""
    origin.resource("/simple/", ROWS, content_type="text/html")
    got = await get(http, proxy.url + LIST)
    assert (200, "text/html; charset=utf-8") == (got.status, got.headers["content-type"])
    assert ROWS.replace("/simple/", "").encode() == got.body
    assert (got.cache, got.headers["cache-control"], list(proxy.store.keys(""))) == ("miss", "no-store", [])


async def test_json__passes_unchanged(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """JSON has no links; it is asked for where the client prefers it."""
    body = json.dumps({"meta": {"api-version": "1.4"}, "projects": [{"name": "one", "_last-serial": 3}]}).encode()
    origin.resource("/simple/", body, content_type=pages.JSON)
    got = await get(http, proxy.url + LIST, accept=pages.JSON)
    assert (200, pages.JSON, body) == (got.status, got.headers["content-type"], got.body)
    assert origin.requests[0].headers["accept"] == pages.JSON


async def test_head(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """HEAD has no body."""
    origin.resource("/simple/", ROWS, content_type="text/html")
    got = await get(http, proxy.url + LIST, "HEAD")
    assert (200, b"") == (got.status, got.body)


async def test_http_1_0__ends_with_the_connection(proxy: Running, origin: Origin) -> None:
    """A client that knows no chunks gets the bare body."""
    origin.resource("/simple/", ROWS, content_type="text/html", length=False)
    got = await exchange.send(proxy.url, f"GET {LIST} HTTP/1.0\r\n\r\n".encode())
    assert ("200", ROWS.replace("/simple/", "").encode()) == (got.status, got.rest)
    assert "transfer-encoding" not in got.head.lower()


async def test_http_1_0__cut_short(proxy: Running, origin: Origin) -> None:
    """Nor does a list that breaks off look whole to it: its connection is reset."""
    origin.resource("/simple/", ROWS.encode() + b" " * 1_000_000, content_type="text/html")
    origin.misbehave("/simple/", faults.unfinished_chunks())
    assert (await exchange.send(proxy.url, f"GET {LIST} HTTP/1.0\r\n\r\n".encode())).reset


async def test_http_1_0__the_program_ends(
    make_proxy: MakeProxy, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is cut because the cache stops does not look whole either."""
    monkeypatch.setattr("proxy.app._DRAIN", 0.1)
    origin.resource("/simple/", ROWS.encode() + b" " * 1_000_000, content_type="text/html")
    origin.misbehave("/simple/", faults.hold_body(900_000, Gate()))
    running = await make_proxy(origin.url)
    asked = asyncio.create_task(exchange.send(running.url, f"GET {LIST} HTTP/1.0\r\n\r\n".encode()))
    await origin.until(lambda: origin.sent_body_bytes("/simple/") >= 900_000)
    while not running.metrics.render()[0].count(b'pullthrough_fetched_bytes_total{upstream="pypi"} 900000'):
        await asyncio.sleep(0.01)
    await running.close()
    assert (await asked).reset


async def test_first_bytes__leave_while_the_rest_is_to_come(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 8: what has come is sent on at once."""
    body = ROWS.encode() + b"<!-- more -->" * 40_000
    origin.resource("/simple/", body, content_type="text/html")
    gate = Gate()
    origin.misbehave("/simple/", faults.hold_body(len(ROWS) + 13 * 30_000, gate))
    async with http.get(proxy.url + LIST) as answer:
        first = await answer.content.readany()
        gate.open()
        rest = await answer.content.read()
    assert body.replace(b"/simple/", b"") == first + rest


@pytest.mark.parametrize(
    ("spoilt", "status"),
    [
        (faults.cut(60_000), "502"),
        (faults.cut(60_000, reset=True), "502"),
        (faults.cut(800_000), "200"),
        (faults.unfinished_chunks(), "200"),
    ],
    ids=["row 1: FIN", "row 2: RST", "row 1: FIN, late", "row 3: no last chunk"],
)
async def test_list__cut_short(proxy: Running, origin: Origin, spoilt: faults.Fault, status: str) -> None:
    """A list that breaks off upstream is an error, or breaks off here too: it never ends with a last chunk."""
    origin.resource("/simple/", ROWS.encode() + b" " * 1_000_000, content_type="text/html")
    origin.misbehave("/simple/", spoilt)
    got = await exchange.ask(proxy.url + LIST)
    sent = ROWS.replace("/simple/", "").encode() in got.rest
    assert (status, status == "200", False) == (got.status, sent, got.rest.endswith(b"0\r\n\r\n"))


@pytest.mark.parametrize(
    ("spoilt", "expected"),
    [
        ((faults.status(500),), 502),
        ((faults.status(404),), 404),
        ((faults.status(503, retry_after="9"),), 503),
        ((faults.status(200, "text"),), 502),
        ((faults.headers(("Content-Type", "application/json")), faults.gzipped(), faults.cut(30)), 502),
    ],
    ids=["500", "404", "503", "text", "gzip that is cut"],
)
async def test_list__that_goes_wrong(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, spoilt: tuple[faults.Fault, ...], expected: int
) -> None:
    """An error of upstream is an error here, with a reason."""
    origin.resource("/simple/", ROWS, content_type="text/html")
    origin.misbehave("/simple/", *spoilt)
    assert (await get(http, proxy.url + LIST)).status == expected


@pytest.mark.timeout(300)
async def test_long_list__in_flat_memory(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Tens of megabytes pass without being held."""
    running = await make_proxy(origin.url, page_limit=1 << 20)
    body = Joined((Plain(ROWS.encode()), Noise(32 << 20)))
    origin.resource("/simple/", body, content_type="text/html")
    size = 0
    tracemalloc.start()
    async with http.get(running.url + LIST) as answer:
        async for piece in answer.content.iter_any():
            size += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 32 << 20
    assert peak < 24 << 20


async def test_client_leaves__and_upstream_is_let_go(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A list is nobody's but the client's who asked: when it goes, the request upstream ends."""
    origin.resource("/simple/", ROWS, content_type="text/html")
    origin.misbehave("/simple/", faults.endless())
    async with http.get(proxy.url + LIST) as answer:
        await answer.content.readany()
    await asyncio.wait_for(origin.until(lambda: origin.open_connections == 0), 20)
