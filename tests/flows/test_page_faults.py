"""Index pages when upstream goes wrong: an error is allowed, a wrong page is not, and nothing bad is left behind.

Row numbers are those of the project's list of faults; each test has one row and variant.
"""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import faults, pages
from tests.conftest import MakeProxy
from tests.faults import Fault
from tests.flows.asking import SteppedClock, until_idle
from tests.flows.conftest import MakeClocked
from tests.flows.reading import Got, get
from tests.gates import Gate
from tests.origin import Origin
from tests.storage.disk import digests
from tests.upstream.scripted import Then, plain, scripted
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

PAGE = "/pypi/simple/demo/"
UPSTREAM = "/simple/demo/"
QUICK = {"read_timeout": 0.2, "connect_timeout": 0.2}  # limits that a test waits out
# Fillers that make a body longer than what a connection buffers ahead of its reader.
MIB = 1 << 20

BROKEN: dict[str, tuple[Fault, ...]] = {
    "row 1: shorter than its length, FIN": (faults.cut(20),),
    "row 2: RST in mid-body": (faults.cut(20, reset=True),),
    "row 3: chunked without last chunk": (faults.unfinished_chunks(),),
    "row 5: captive portal": (faults.captive_portal(),),
    "row 5: captive portal with links": (
        faults.captive_portal(b"<a href='/login'>Continue</a><a href='/terms.pdf'>?</a>"),
    ),
    "row 5: no bytes at all": (faults.shorter(0),),
    "row 6: closes before an answer": (faults.hang_up(),),
    "row 6: resets before an answer": (faults.hang_up(reset=True),),
    "row 9: 500": (faults.status(500),),
    "row 9: 502": (faults.status(502),),
    "row 10: 401": (faults.status(401),),
    "row 11: 206 nobody asked for": (faults.unasked_range(0, 20),),
    "row 13: damaged gzip": (faults.gzipped(), faults.flipped(20)),
    "row 13: gzip cut short": (faults.gzipped(), faults.shorter(30)),
    "row 13: gzip with more behind it": (faults.gzipped(), faults.longer(b"more")),
    "row 13: a coding nobody asked for": (
        faults.other_body(b"\x0b\x02\x80page\x03"),
        faults.headers(("Content-Encoding", "br")),
    ),
    "row 14: 1 MB header": (faults.huge_header(MIB),),
    "row 14: 20,000 headers": (faults.many_headers(20_000),),
    "row 14: bad status line": (faults.bad_status_line(),),
    "row 14: HTTP/0.9": (faults.raw(b"<html><body>old</body></html>"),),
    "row 14: NUL in a header": (faults.headers(("X-Bad", "a\0b")),),
    "row 14: CR in a header": (faults.headers(("X-Bad", "a\rb")),),
    "row 14: two lengths": (faults.two_lengths(10),),
    "row 14: length and chunks": (faults.length_and_chunks(10),),
    "not a page: plain text": (faults.status(200, "hello"),),
    "not a page: JSON of something else": (
        faults.other_body(b'{"message": "hello"}'),
        faults.headers(("Content-Type", pages.JSON)),
    ),
    "another major version": (
        faults.other_body(b'{"meta": {"api-version": "2.0"}, "name": "demo", "files": []}'),
        faults.headers(("Content-Type", pages.JSON)),
    ),
    "a redirect in circles": (faults.redirect("/simple/demo/"),),
}


def kept(running: Running) -> tuple[list[str], list[object]]:
    """What the store has: keys of pages, and blobs."""
    return list(running.store.keys("page:")), list(digests(running.store))


@pytest.mark.parametrize("spoilt", BROKEN.values(), ids=BROKEN.keys())
async def test_cold_page__that_goes_wrong(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, spoilt: tuple[Fault, ...]
) -> None:
    """The client sees 502 with a reason, nothing is kept, and the next request is right."""
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, *spoilt)
    got = await get(http, proxy.url + PAGE)
    assert (502, "no-store") == (got.status, got.headers["cache-control"])
    assert got.body.strip()
    assert kept(proxy) == ([], [])
    origin.behave()
    assert (await get(http, proxy.url + PAGE)).status == 200


@pytest.mark.parametrize("spoilt", BROKEN.values(), ids=BROKEN.keys())
async def test_warm_page__when_upstream_goes_wrong(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, spoilt: tuple[Fault, ...]
) -> None:
    """The stale copy is served and says so; it stays the kept one; when upstream is well again it is replaced."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    before = await get(http, running.url + PAGE)
    known = kept(running)
    origin.publish(wheel(), wheel(version="2.0"))
    origin.misbehave(UPSTREAM, *spoilt)
    got = await get(http, running.url + PAGE)
    assert (200, "stale", before.body) == (got.status, got.cache, got.body)
    assert known == kept(running)
    origin.behave()
    await _until_kept(running, b"demo-2.0", http)


async def test_page__304_nobody_asked_for(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 11: cold it is a 502; with a copy that has no validator it is no confirmation, and the copy is stale."""
    running = await make_proxy(origin.url, ttl=0)
    origin.page(UPSTREAM, [wheel().link("/packages/demo-1.0-py3-none-any.whl")], etag=None)
    origin.misbehave(UPSTREAM, faults.bare_304(), times=1)
    assert (await get(http, running.url + PAGE)).status == 502
    assert (await get(http, running.url + PAGE)).status == 200
    origin.misbehave(UPSTREAM, faults.bare_304())
    assert (await get(http, running.url + PAGE)).cache == "stale"


@pytest.mark.parametrize(
    "spoilt",
    [(faults.early_hints(2000),), (faults.until_close(),), (faults.chunked(),), (faults.trailers(5),)],
    ids=["row 14: 2,000 of 103", "row 4: ends with the connection", "chunks", "trailers"],
)
async def test_page__in_odd_framing(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, spoilt: tuple[Fault, ...]
) -> None:
    """What is odd and legal gives the page."""
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, *spoilt)
    got = await get(http, proxy.url + PAGE)
    assert (200, True) == (got.status, wheel().filename.encode() in got.body)


async def test_page__ending_with_the_connection_too_early(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 4: JSON without a length that was cut short is noticed."""
    origin.publish(wheel(), fmt="json")
    origin.misbehave(UPSTREAM, faults.until_close(), faults.cut(60))
    got = await get(http, proxy.url + PAGE)
    assert (502, ([], [])) == (got.status, kept(proxy))


async def test_page__redirected_to_a_private_address(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A redirect gains nothing: cold it is refused, warm the copy is served."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.redirect("http://169.254.169.254/simple/demo/"))
    assert (await get(http, running.url + PAGE)).status == 403
    origin.behave()
    await get(http, running.url + PAGE)
    origin.misbehave(UPSTREAM, faults.redirect("http://169.254.169.254/simple/demo/"))
    assert (await get(http, running.url + PAGE)).cache == "stale"


# Upstream is away


async def test_cold_page__upstream_refuses(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 6: 502, and no memory of it: the page is there as soon as upstream is."""
    origin.publish(wheel())
    await origin.stop()
    assert (await get(http, proxy.url + PAGE)).status == 502
    await origin.start()
    assert (await get(http, proxy.url + PAGE)).status == 200


async def test_warm_page__upstream_refuses(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 6: the copy, the first time and when upstream is known to be down."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    await get(http, running.url + PAGE)
    await origin.stop()
    assert [(await get(http, running.url + PAGE)).cache for _ in range(3)] == ["stale"] * 3


async def test_cold_page__upstream_says_nothing(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 7: 504 within upstream's read limit."""
    running = await make_proxy(origin.url, fetch=QUICK)
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.hold_head(Gate()))
    got = await get(http, running.url + PAGE)
    assert (504, ([], [])) == (got.status, kept(running))


async def test_cold_page__whose_body_stalls(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 7: 504, nothing kept."""
    running = await make_proxy(origin.url, fetch=QUICK)
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.hold_body(50, Gate()))
    got = await get(http, running.url + PAGE)
    assert (504, ([], [])) == (got.status, kept(running))


async def test_cold_page__without_length_until_reset(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """Row 2: 502 and nothing kept, though only the end of the connection ends the page: it is half of it."""

    async def breaks(writer: asyncio.StreamWriter) -> Then:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><a href='demo-1.tar.gz'>demo</a>\n")
        await writer.drain()
        await asyncio.sleep(0.05)  # else the reset may overtake the head
        return Then.RESET

    async with scripted() as server:
        server.on(UPSTREAM, breaks)
        running = await make_proxy(server.base.removesuffix("/"))
        got = await get(http, running.url + PAGE)
        assert (502, ([], [])) == (got.status, kept(running))


async def test_cold_page__whose_chunks_break(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """Row 14: 502 at once, nothing kept, and the next client has the page."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n"

    async def breaks(writer: asyncio.StreamWriter) -> Then:
        writer.write(head)
        await asyncio.sleep(0.05)  # the head is read by itself, most of the time
        writer.write(b"no number\r\n")
        return Then.HOLD

    async with scripted() as server, asyncio.timeout(20):
        server.on(UPSTREAM, breaks, plain(b"<html><a href='demo-1.tar.gz'>demo</a></html>", "Content-Type: text/html"))
        running = await make_proxy(server.base.removesuffix("/"))
        got = await get(http, running.url + PAGE)
        assert (502, ([], [])) == (got.status, kept(running))
        assert 200 == (await get(http, running.url + PAGE)).status


@pytest.mark.parametrize("where", ["head", "body"])
async def test_warm_page__upstream_hangs(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, where: str
) -> None:
    """Row 7: the copy arrives while upstream still hangs; upstream's answer is used when it comes at last."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    await get(http, running.url + PAGE)
    origin.publish(wheel(), wheel(version="2.0"))
    gate = Gate()
    origin.misbehave(UPSTREAM, faults.hold_head(gate) if where == "head" else faults.hold_body(50, gate))
    asking = [asyncio.create_task(get(http, running.url + PAGE)) for _ in range(5)]
    got = await asyncio.gather(*asking)
    assert {answer.cache for answer in got} == {"stale"}
    assert origin.count() == 2
    gate.open()
    await _until_kept(running, b"demo-2.0", http)


async def test_warm_page__upstream_known_to_hang(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 7: once upstream was silent beyond its limit, the copy does not wait for it at all."""
    running = await make_proxy(origin.url, ttl=0, fetch=QUICK)
    origin.publish(wheel())
    await get(http, running.url + PAGE)
    gate = Gate()
    origin.misbehave(UPSTREAM, faults.hold_head(gate))
    assert (await get(http, running.url + PAGE)).cache == "stale"
    asked = origin.count()
    assert (await get(http, running.url + PAGE)).cache == "stale"
    assert asked == origin.count()


async def _until_kept(running: Running, piece: bytes, http: aiohttp.ClientSession) -> None:
    """Until the page that is served has `piece` in it. The test's time limit ends it otherwise."""
    while piece not in (await get(http, running.url + PAGE)).body:
        pass


# Statuses


@pytest.mark.parametrize("status", [429, 503])
async def test_cold_page__upstream_is_throttled(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, status: int
) -> None:
    """Row 9: 503 with upstream's Retry-After, nothing kept."""
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.status(status, retry_after="17"))
    got = await get(http, proxy.url + PAGE)
    assert (503, "17", ([], [])) == (got.status, got.headers["retry-after"], kept(proxy))


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_cold_page__upstream_fails(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, status: int
) -> None:
    """Row 9: 502, never a 404 that would send the client to the next index."""
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.status(status))
    assert (await get(http, proxy.url + PAGE)).status == 502


@pytest.mark.parametrize("status", [429, 503])
async def test_warm_page__upstream_is_throttled(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, status: int
) -> None:
    """Row 9: the copy."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    await get(http, running.url + PAGE)
    origin.misbehave(UPSTREAM, faults.status(status, retry_after="17"))
    assert (await get(http, running.url + PAGE)).cache == "stale"


@pytest.mark.parametrize("status", [404, 410])
async def test_missing_project(proxy: Running, origin: Origin, http: aiohttp.ClientSession, status: int) -> None:
    """Row 10: 404, known for a moment without asking again, and never stored."""
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.status(status))
    answers = [await get(http, proxy.url + PAGE) for _ in range(3)]
    assert [got.status for got in answers] == [404] * 3
    assert (1, ([], [])) == (origin.count(), kept(proxy))


async def test_missing_project__asked_for_with_no_cache(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 10: who says no-cache sees a new release at once."""
    assert (await get(http, proxy.url + PAGE)).status == 404
    origin.publish(wheel())
    assert (await get(http, proxy.url + PAGE, cache_control="no-cache")).status == 200


async def test_page__that_upstream_removed(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 10: a project that is gone is 404, but its copy is not thrown away: files of it are still found."""
    running = await make_proxy(origin.url, ttl=0)
    package = wheel()
    origin.publish(package)
    await get(http, running.url + PAGE)
    known = kept(running)
    origin.remove(UPSTREAM)
    assert (await get(http, running.url + PAGE)).status == 404
    assert known == kept(running)
    got = await get(http, f"{running.url}/pypi/packages/{package.filename}")
    assert package.body.read(0, package.body.size) == got.body


async def test_denied_page__is_not_kept(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 10: 401 is an error, asked again each time: it is no word on whether the project exists."""
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.status(401), times=2)
    answers = [(await get(http, proxy.url + PAGE)).status for _ in range(3)]
    assert answers == [502, 502, 200]


# Herds


async def test_herd__on_a_failing_page(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 16: all twenty see an error, none an empty page."""
    origin.publish(wheel())
    gate = Gate()
    origin.misbehave(UPSTREAM, faults.hold_body(10, gate), faults.cut(20))
    asking = [asyncio.create_task(get(http, proxy.url + PAGE)) for _ in range(20)]
    await gate.reached.wait()
    gate.open()
    assert {got.status for got in await asyncio.gather(*asking)} == {502}


# Size and time


async def test_endless_page(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 14: a page without end is given up at the limit, in bounded memory."""
    running = await make_proxy(origin.url, page_limit=MIB)
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.endless())
    got, peak = await _measured(get(http, running.url + PAGE))
    assert (502, ([], [])) == (got.status, kept(running))
    assert b"page_limit" in got.body
    assert peak < 24 * MIB
    await origin.until(lambda: origin.open_connections == 0)


async def test_gzip_bomb__as_a_page(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Row 13: 200 MB out of 200 kB are never unpacked beyond the limit."""
    running = await make_proxy(origin.url, page_limit=MIB)
    origin.publish(wheel())
    bomb = faults.gzip_bomb(200 * MIB)
    origin.misbehave(UPSTREAM, bomb)
    got, peak = await _measured(get(http, running.url + PAGE))
    assert (502, ([], [])) == (got.status, kept(running))
    assert peak < 24 * MIB


async def test_gzip_page__with_an_endless_tail(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 13: what comes behind the end of the coding is neither kept in memory nor read for ever."""
    running = await make_proxy(origin.url, page_limit=MIB)
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.gzipped(), faults.longer(bytes(64 * MIB)))
    tracemalloc.start()
    got = await get(http, running.url + PAGE)
    tracemalloc.stop()
    assert got.status == 502
    assert origin.sent_body_bytes() < 16 * MIB


async def _measured(asking: object) -> tuple[Got, int]:
    """The answer, and the bytes that were allocated at most while it came."""
    tracemalloc.start()
    try:
        got: Got = await asking  # type: ignore[misc]
        return got, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_page__with_200_000_links(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A very long page is served whole, and the server answers others meanwhile."""
    links = "".join(f'<a href="/f/demo-1.{number}.tar.gz">demo-1.{number}.tar.gz</a>\n' for number in range(200_000))
    origin.resource(UPSTREAM, f"<!DOCTYPE html><html><body>{links}</body></html>", content_type="text/html")
    asking = asyncio.create_task(get(http, proxy.url + PAGE))
    await origin.until(lambda: origin.count() == 1)
    assert (await get(http, f"{proxy.url}/readyz")).status == 200
    got = await asking
    assert (200, 200_000) == (got.status, got.body.count(b"<a href="))


async def test_page__that_names_one_file_20_000_times(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Many links of one name take no more time than many names."""
    links = "".join(f'<a href="/{number}/demo-1.0.tar.gz">demo-1.0.tar.gz</a>\n' for number in range(20_000))
    origin.resource(UPSTREAM, f"<!DOCTYPE html><html><body>{links}</body></html>", content_type="text/html")
    got = await get(http, proxy.url + PAGE)
    assert (200, 20_000) == (got.status, got.body.count(b"<a href="))


# Clocks


async def test_missing_project__is_forgotten_soon(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 10: a new release appears within seconds of a 404."""
    running = await make_clocked(origin.url)
    assert (await get(http, running.url + PAGE)).status == 404
    origin.publish(wheel())
    assert (await get(http, running.url + PAGE)).status == 404
    clock.advance(11)
    assert (await get(http, running.url + PAGE)).status == 200


async def test_no_cache__is_shared_for_a_moment(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Many clients that all refresh cost upstream one request a moment, and each later one a request."""
    running = await make_clocked(origin.url)
    origin.publish(wheel())
    await get(http, running.url + PAGE)
    outcomes = []
    for seconds in (1, 5, 1):
        clock.advance(seconds)
        outcomes.append((await get(http, running.url + PAGE, cache_control="no-cache")).cache)
    assert (outcomes, origin.count()) == (["hit", "revalidated", "hit"], 2)


async def test_page__ages(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A page is a hit up to the end of its life, and is confirmed after it; then it is young again."""
    running = await make_clocked(origin.url)
    origin.publish(wheel())
    await get(http, running.url + PAGE)
    outcomes = []
    for seconds in (599, 2, 599):
        clock.advance(seconds)
        outcomes.append((await get(http, running.url + PAGE)).cache)
    assert outcomes == ["hit", "revalidated", "hit"]


@pytest.mark.parametrize("jump", [-86_400, 400 * 86_400], ids=["-1 day", "+400 days"])
async def test_clock__jumps(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession, jump: int
) -> None:
    """Row 23: after a jump a page is neither fresh for ever nor lost: confirmed once, and served without upstream."""
    running = await make_clocked(origin.url)
    origin.publish(wheel())
    before = await get(http, running.url + PAGE)
    assert 200 == (await get(http, f"{running.url}/pypi/packages/{wheel().filename}")).status
    await until_idle(running)
    clock.wall += jump
    # Other heads: the same one is answered from memory for as long as the page was said to live.
    outcomes = [(await get(http, running.url + PAGE, x_head=head)).cache for head in ("1", "2")]
    await origin.stop()
    clock.wall += jump
    stale = await get(http, running.url + PAGE, x_head="3")
    assert (["revalidated", "hit"], "stale", before.body) == (outcomes, stale.cache, stale.body)


async def test_origin_of_the_future(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 23: upstream's Date and Age say nothing of how long a page lives here, nor how old it is."""
    running = await make_clocked(origin.url)
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.headers(("Date", "Thu, 01 Jan 2099 00:00:00 GMT"), ("Age", "99999999")))
    await get(http, running.url + PAGE)
    clock.advance(599)
    hit = await get(http, running.url + PAGE)
    clock.advance(2)
    assert ("hit", "revalidated") == (hit.cache, (await get(http, running.url + PAGE)).cache)
    assert hit.headers["age"] == "599"


async def test_warm_pages__of_a_host_that_hangs(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 7: once one page was waited for in vain, the host's other pages come at once, beside what still hangs."""
    running = await make_proxy(origin.url, ttl=0)
    names = [f"demo{number}" for number in range(20)]
    origin.publish(*(wheel(name) for name in names))
    for name in names:
        await get(http, f"{running.url}/pypi/simple/{name}/")
    gate = Gate()
    for name in names:
        origin.misbehave(f"/simple/{name}/", faults.hold_head(gate))

    # One after another, as a client resolves: twenty seconds if each of them were waited for.
    async with asyncio.timeout(10):
        got = [await get(http, f"{running.url}/pypi/simple/{name}/") for name in names]
    gate.open()

    assert [(200, "stale")] * 20 == [(answer.status, answer.cache) for answer in got]


@pytest.mark.parametrize("field", ["gzip", "x-gzip", "GZIP", "gzip, identity"])
@pytest.mark.parametrize(
    "coded",
    [
        lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:]),
        lambda body: gzip.compress(body) + bytes(10_000),
        lambda body: gzip.compress(gzip.compress(body)),
        lambda body: body,
    ],
    ids=["members", "zeros behind", "twice", "not at all"],
)
@pytest.mark.parametrize("framing", [faults.chunked(), faults.until_close()], ids=["chunks", "ends with connection"])
async def test_cold_page__coded_in_odd_ways(
    proxy: Running,
    origin: Origin,
    http: aiohttp.ClientSession,
    field: str,
    coded: Callable[[bytes], bytes],
    framing: Fault,
) -> None:
    """Row 13: whatever a server makes of gzip, the page is the page."""
    page = wheel().link("/packages/demo-1.0-py3-none-any.whl")
    origin.page(UPSTREAM, [page])
    plain = await get(http, origin.url + UPSTREAM)
    origin.misbehave(
        UPSTREAM, faults.other_body(coded(plain.body)), faults.headers(("Content-Encoding", field)), framing
    )
    got = await get(http, proxy.url + PAGE)
    assert (200, 1) == (got.status, got.body.count(b"<a "))


@pytest.mark.parametrize("field", ["utf-8", "aws-chunked", "none", "br", "deflate"])
async def test_cold_page__called_coded_and_plain(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, field: str
) -> None:
    """Row 13: a coding that was not applied is none."""
    origin.publish(wheel())
    origin.misbehave(UPSTREAM, faults.headers(("Content-Encoding", field)))
    got = await get(http, proxy.url + PAGE)
    assert (200, 1) == (got.status, got.body.count(b"<a "))
