"""Files whose upstream goes wrong: an error is allowed, a complete wrong answer is not, and nothing bad stays."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import exchange, faults
from tests.answers import Request
from tests.bodies import Flipped, Noise, Plain
from tests.conftest import MakeProxy
from tests.faults import Fault
from tests.flows.asking import SEGMENT, SMALL, Got, SteppedClock, address, content, get, until_idle, until_kept
from tests.flows.conftest import MakeClocked
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import Link
from tests.storage.disk import digests
from tests.wheels import Package, wheel

PATH = "/packages/"
SIZE = 5 * SEGMENT


@pytest.fixture
def package() -> Package:
    """A wheel of several segments."""
    return wheel(padding=SIZE)


def unlisted(origin: Origin, package: Package, **more: bool | str | None) -> None:
    """Serve a package whose page says nothing of size or digest."""
    origin.file(PATH + package.filename, package.body, **more)  # type: ignore[arg-type]
    origin.page("/simple/demo/", [Link(package.filename, PATH + package.filename)])


def no_complete_lie(got: Got, package: Package) -> bool:
    """Whether an answer is either an error, a broken transfer, or all of the right bytes."""
    return got.status >= 400 or got.broken or got.sha256 == package.sha256


# ---------------------------------------------------------------------- transfers that break


@pytest.mark.parametrize("whole", [True, False])
async def test_unfinished__for_a_client_of_http_1_0(
    make_proxy: MakeProxy, origin: Origin, package: Package, whole: bool
) -> None:
    """Where only the end of the connection ends the body, as for nginx in front, a part must not look whole."""
    unlisted(origin, package, length=False, etag=None, last_modified=None, ranges=False)
    if not whole:
        origin.misbehave(PATH + package.filename, faults.unfinished_chunks())
    running = await make_proxy(origin.url)
    target = urlsplit(address(running, package)).path
    got = await exchange.send(running.url, f"GET {target} HTTP/1.0\r\nHost: cache.example\r\n\r\n".encode())
    assert "content-length" not in got.head.lower()
    assert ("200", not whole) == (got.status, got.reset)
    assert (package.body.read(0, package.body.size) == got.rest) is whole


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", [0, 1, 30_000, SEGMENT - 1])
async def test_cut__once_with_ranges(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, reset: bool, after: int
) -> None:
    """A segment that breaks off goes on where it stopped, and the client sees no seam (rows 1, 2)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.cut(after, reset=reset), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)
    # What came just before the break may be lost with the connection; no more than that is sent again.
    assert package.body.size <= origin.sent_body_bytes(PATH + package.filename) <= package.body.size + after


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", [100, SEGMENT + 100, 4 * SEGMENT])
@pytest.mark.parametrize("listed", [True, False])
async def test_cut__once_in_a_stream_that_may_be_resumed(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    reset: bool,
    after: int,
    listed: bool,
) -> None:
    """A stream of the whole file, broken once at any place, is gone on with by a range (rows 1, 2)."""
    origin.publish(package)
    if not listed:
        unlisted(origin, package)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), faults.cut(after, reset=reset), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    got = await get(http, url)
    await until_kept(http, url)

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)
    assert (await get(http, url)).sha256 == package.sha256


@pytest.mark.parametrize("after", [100, SEGMENT + 100, 4 * SEGMENT])
@pytest.mark.parametrize("listed", [True, False])
async def test_cut__once_without_ranges(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, after: int, listed: bool
) -> None:
    """Where upstream gives no parts the whole is asked for again, and the client still sees no seam (row 1)."""
    origin.publish(package)
    if not listed:
        unlisted(origin, package, ranges=False)
    origin.file(PATH + package.filename, package.body, ranges=False)
    origin.misbehave(PATH + package.filename, faults.cut(after), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    got = await get(http, url)
    await until_kept(http, url)

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)
    assert 2 == origin.count(PATH + package.filename)


async def test_cut__once_with_length_unknown(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A stream of unknown length that ends without its last chunk is gone on with (row 3)."""
    origin.publish(package)
    origin.misbehave(
        PATH + package.filename, faults.ignores_range(), faults.cut(2 * SEGMENT), faults.chunked(), times=1
    )
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    got = await get(http, url)
    await until_kept(http, url)

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)


@pytest.mark.parametrize(
    "fault",
    [
        faults.cut(SEGMENT + 1000),
        faults.cut(SEGMENT + 1000, reset=True),
        faults.cut(0),
        faults.unfinished_chunks(),
        faults.declares(10_000_000),
    ],
    ids=["cut", "reset", "nothing", "unfinished", "longer"],
)
async def test_cut__always_and_nothing_to_resume_by(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, fault: Fault
) -> None:
    """Without digest or validator a broken transfer cannot go on: it is broken for the client, and not kept (1-3)."""
    unlisted(origin, package, etag=None, last_modified=None, ranges=False)
    origin.misbehave(PATH + package.filename, fault)
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert got.broken or got.status == 502
    await until_idle(running)
    assert await nothing_kept(http, running.url, package)
    origin.behave()
    assert package.sha256 == (await get(http, address(running, package))).sha256


async def nothing_kept(http: aiohttp.ClientSession, url: str, package: Package) -> bool:
    """Whether the cache would have to ask upstream for the file."""
    got = await get(http, f"{url}/pypi/packages/{package.filename}", "HEAD")
    return got.headers.get("x-cache") != "hit"


async def test_cut__close_delimited_and_listed(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, package: Package, clock: SteppedClock
) -> None:
    """A body that ends with its connection, too early: only the index tells, and it is asked before the end (row 4)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), faults.cut(3 * SEGMENT), faults.until_close())
    running = await make_clocked(origin.url)

    got = await get(http, address(running, package))

    assert got.broken
    assert await nothing_kept(http, running.url, package)
    origin.behave()
    clock.advance(2)
    assert package.sha256 == (await get(http, address(running, package))).sha256


@pytest.mark.parametrize("cut", [0, 1, 3 * SEGMENT, SIZE])
async def test_cut__close_delimited_and_not_listed(
    make_clocked: MakeClocked,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    clock: SteppedClock,
    cut: int,
) -> None:
    """A wheel that ends with its connection, too early, is no wheel, though no length and no digest tells (row 4)."""
    unlisted(origin, package)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), faults.cut(cut), faults.until_close())
    running = await make_clocked(origin.url)

    got = await get(http, address(running, package))

    assert got.broken or got.status == 502
    await until_idle(running)
    assert await nothing_kept(http, running.url, package)
    origin.behave()
    clock.advance(2)
    assert package.sha256 == (await get(http, address(running, package))).sha256


async def test_empty__and_not_listed(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, package: Package, clock: SteppedClock
) -> None:
    """A wheel without a byte is none, whatever its length says (row 5)."""
    unlisted(origin, package)
    origin.misbehave(PATH + package.filename, faults.other_body(b""))
    running = await make_clocked(origin.url)

    got = await get(http, address(running, package))

    assert 502 == got.status
    origin.behave()
    clock.advance(2)
    assert package.sha256 == (await get(http, address(running, package))).sha256


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("span", ["bytes=0-99", "bytes=-100", "bytes=150000-"])
async def test_empty__for_a_range(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    listed: bool,
    chunked: bool,
    span: str,
) -> None:
    """No client is told that a wheel has no bytes, and that its range is behind the end of it."""
    origin.publish(package)
    if not listed:
        unlisted(origin, package)
    framing = [faults.chunked()] if chunked else []
    origin.misbehave(PATH + package.filename, faults.other_body(b""), *framing)
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package), range=span)

    assert (502, False) == (got.status, got.broken)
    await until_idle(running)


async def test_empty__head(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """Nor is that its length."""
    unlisted(origin, package)
    origin.misbehave(PATH + package.filename, faults.other_body(b""))
    running = await make_proxy(origin.url)

    assert 502 == (await get(http, address(running, package), "HEAD")).status


async def test_refused__before_any_answer(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, package: Package, clock: SteppedClock
) -> None:
    """A connection that ends before an answer: 502, nothing remembered, and the next request is right (row 6)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.hang_up())
    running = await make_clocked(origin.url)

    got = await get(http, address(running, package))
    assert 502 == got.status
    assert "text/plain" in got.headers["content-type"]

    origin.behave()
    clock.advance(60)
    assert package.sha256 == (await get(http, address(running, package))).sha256


async def test_stalled__head(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """An upstream that never answers is a 504 at the read limit (row 7)."""
    origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, faults.hold_head(gate))
    running = await make_proxy(origin.url, fetch={"segment": SEGMENT, "read_timeout": 0.2, "connect_timeout": 0.2})

    got = await get(http, address(running, package))
    gate.open()

    assert 504 == got.status


async def test_stalled__body_once(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A body that stalls beyond the read limit is dropped and gone on with (row 7)."""
    origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, faults.hold_body(20_000, gate), times=1)
    running = await make_proxy(origin.url, fetch={"segment": SEGMENT, "read_timeout": 0.3})

    got = await get(http, address(running, package))
    gate.open()

    assert (200, package.sha256) == (got.status, got.sha256)
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


async def test_slow__bytes_flow_as_they_come(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """The client gets what arrived while the rest is held back upstream (row 8)."""
    origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, faults.hold_body(3000, gate), when=segment(2))
    running = await make_proxy(origin.url, fetch=SMALL)

    async with http.get(address(running, package)) as response:
        early = await response.content.readexactly(2 * SEGMENT + 3000)
        gate.open()
        rest = await response.content.read()

    assert content(package.body) == early + rest


def segment(number: int) -> Callable[[Request], bool]:
    """Requests for this segment, counted from 0."""

    def asks(request: Request) -> bool:
        return request.headers.get("range", "").startswith(f"bytes={number * SEGMENT}-")

    return asks


# ---------------------------------------------------------------------- statuses


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (500, 502),
        (502, 502),
        (503, 503),
        (504, 502),
        (429, 503),
        (401, 502),
        (403, 404),
        (404, 404),
        (410, 404),
        (451, 502),
    ],
)
async def test_status__instead_of_a_file(
    make_clocked: MakeClocked,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    clock: SteppedClock,
    code: int,
    expected: int,
) -> None:
    """A failing upstream is never "not found", and is not remembered for the file (rows 9, 10)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.status(code, retry_after="7"))
    running = await make_clocked(origin.url)

    got = await get(http, address(running, package))
    origin.behave()
    clock.advance(60)
    then = await get(http, address(running, package))

    assert expected == got.status
    assert ("7" if expected == 503 else None) == got.headers.get("retry-after")
    assert (200, package.sha256) == (then.status, then.sha256)


@pytest.mark.parametrize("code", [404, 403, 500, 503])
async def test_status__of_a_kept_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, code: int
) -> None:
    """What upstream says later never replaces a good file (row 10)."""
    origin.publish(package)
    running = await make_proxy(origin.url, fetch=SMALL)
    await get(http, address(running, package))
    await until_kept(http, address(running, package))
    origin.misbehave(None, faults.status(code))

    got = await get(http, address(running, package), cache_control="no-cache")

    assert (200, package.sha256) == (got.status, got.sha256)


@pytest.mark.parametrize("code", [404, 403, 429, 500])
async def test_status__in_the_middle(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, code: int
) -> None:
    """A file of which upstream refuses a part once comes whole all the same (row 9)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.status(code), times=1, when=segment(2))
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)


# ---------------------------------------------------------------------- wrong bytes


@pytest.mark.parametrize("offset", [0, SEGMENT, SIZE - 10], ids=["first", "middle", "last"])
async def test_wrong_bytes__broken_and_not_kept(
    make_clocked: MakeClocked,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    clock: SteppedClock,
    offset: int,
) -> None:
    """Wrong bytes of the right length never arrive whole; nothing is kept; after the cool-down it is right (row 5)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.flipped(offset))
    running = await make_clocked(origin.url)
    url = address(running, package)

    got = await get(http, url)
    await until_idle(running)

    assert got.broken
    assert len(got.body) <= package.body.size - SEGMENT
    assert package.sha256 not in {digest.value for digest in digests(running.store)}
    asked = origin.count(PATH + package.filename)
    assert 502 == (await get(http, url)).status
    assert asked == origin.count(PATH + package.filename)
    origin.behave()
    clock.advance(1.01)
    then = await get(http, url)
    assert (200, package.sha256) == (then.status, then.sha256)


async def test_wrong_bytes__cool_down_grows(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, package: Package, clock: SteppedClock
) -> None:
    """A source that goes on being wrong is asked ever less often."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.flipped(5))
    running = await make_clocked(origin.url)
    url = address(running, package)
    await get(http, url)
    clock.advance(1.01)
    assert (await get(http, url)).broken
    await until_idle(running)
    asked = origin.count(PATH + package.filename)

    clock.advance(1.01)
    assert 502 == (await get(http, url)).status
    assert asked == origin.count(PATH + package.filename)
    clock.advance(1.01)
    assert (await get(http, url)).broken


@pytest.mark.parametrize("size", [10, 20_000])
async def test_wrong_bytes__small_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, size: int
) -> None:
    """A file that is held back whole is not even begun: its wrong bytes are a 502 (row 5)."""
    package = wheel("small", padding=size)
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.flipped(40))
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (502, False) == (got.status, got.broken)


@pytest.mark.parametrize(
    "fault", [faults.other_body(b""), faults.shorter(100_000), faults.longer(b"more")], ids=["empty", "short", "long"]
)
@pytest.mark.parametrize("sized", [True, False])
async def test_wrong_length__listed(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, fault: Fault, sized: bool
) -> None:
    """A file of another length has another digest too: it never arrives whole, and nothing is kept (row 5)."""
    origin.publish(package, fmt="json" if sized else "html")
    origin.misbehave(PATH + package.filename, fault)
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert got.broken or got.status == 502
    await until_idle(running)
    assert package.sha256 not in {digest.value for digest in digests(running.store)}


@pytest.mark.parametrize("listed", [True, False])
async def test_captive_portal__is_no_wheel(
    make_clocked: MakeClocked,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    clock: SteppedClock,
    listed: bool,
) -> None:
    """HTML in place of a wheel is 502 with or without a digest, and the wheel comes afterwards (row 5)."""
    origin.publish(package)
    if not listed:
        unlisted(origin, package)
    origin.misbehave(PATH + package.filename, faults.captive_portal())
    running = await make_clocked(origin.url)

    got = await get(http, address(running, package))
    origin.behave()
    clock.advance(2)
    then = await get(http, address(running, package))

    assert (502, "text/plain; charset=utf-8") == (got.status, got.headers["content-type"])
    assert package.sha256 == then.sha256


async def test_captive_portal__that_honours_ranges(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A ranged request that ends at a page of a login, a part of it even, is followed by a plain one."""
    origin.publish(package)
    origin.resource("/login", b"<html>Who are you?</html>", content_type="text/html")
    path = PATH + package.filename
    origin.misbehave(path, faults.redirect("/login"), when=lambda asked: "range" in asked.headers)
    running = await make_proxy(origin.url, fetch=SMALL)

    assert package.sha256 == (await get(http, address(running, package))).sha256


@pytest.mark.parametrize("size", [1, 5_000, 500_000_000])
@pytest.mark.parametrize("content_type", ["text/html", "application/xhtml+xml; charset=utf-8"])
async def test_digest__outranks_type_and_size_together(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, content_type: str, size: int
) -> None:
    """A file of the right digest is served, whatever its gateway calls it and whatever size its page gives."""
    path = PATH + package.filename
    origin.resource(path, package.body, content_type=content_type)
    origin.page(f"/simple/{package.project}/", [replace(package.link(path), size=size, metadata=None)], fmt="json")
    running = await make_proxy(origin.url, fetch=SMALL)

    assert package.sha256 == (await get(http, address(running, package))).sha256


async def test_digest__outranks_type_and_size_past_the_store(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The same where the disk cannot take it; a page in its place does not arrive whole."""
    package = wheel(padding=3_000_000)
    path = PATH + package.filename
    origin.resource(path, package.body, content_type="text/html")
    origin.page(f"/simple/{package.project}/", [replace(package.link(path), size=5, metadata=None)], fmt="json")
    running = await make_proxy(origin.url, disk=2_900_000)

    right = await get(http, address(running, package))
    origin.misbehave(path, faults.captive_portal())
    page = await get(http, address(running, package))

    assert package.sha256 == right.sha256
    assert (502, False) == (page.status, page.broken)


async def test_captive_portal__for_a_range(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """HTML in place of a part of a wheel is no answer either (row 5)."""
    unlisted(origin, package)
    origin.misbehave(PATH + package.filename, faults.captive_portal())
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package), range="bytes=0-99")

    assert 502 == got.status


async def test_html__as_a_file_that_may_be_html(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A text beside a distribution may well be served as HTML: only binaries are refused."""
    origin.resource("/packages/notes.txt", b"<p>notes</p>", content_type="text/html")
    running = await make_proxy(origin.url)

    got = await get(http, f"{running.url}/pypi/packages/notes.txt")

    assert (200, b"<p>notes</p>") == (got.status, got.body)


# ---------------------------------------------------------------------- answers that do not fit the question


@pytest.mark.parametrize(
    "fault",
    [
        faults.bare_304(),
        faults.shifted_range(10),
        faults.headers(("Content-Range", "bytes 0-9/10")),
        faults.headers(("Content-Range", "rubbish")),
        faults.without_headers("Content-Range"),
        faults.two_lengths(5),
        faults.length_and_chunks(100),
        faults.bad_status_line(),
        faults.huge_header(1_000_000),
        faults.many_headers(20_000),
        faults.headers(("ETag", '"a\rb"')),
        faults.early_hints(2000),
    ],
    ids=[
        "304",
        "shifted",
        "other",
        "rubbish",
        "none",
        "two-lengths",
        "cl-te",
        "status-line",
        "huge",
        "many",
        "control",
        "hints",
    ],
)
async def test_nonsense__instead_of_a_range(
    make_clocked: MakeClocked,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    clock: SteppedClock,
    fault: Fault,
) -> None:
    """An answer that makes no sense is 502 or gone past, never half used, and nothing stays of it (rows 11, 14)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, fault)
    running = await make_clocked(origin.url)

    got = await get(http, address(running, package))

    assert no_complete_lie(got, package)
    await until_idle(running)
    origin.behave()
    clock.advance(60)
    then = await get(http, address(running, package))
    assert (200, package.sha256) == (then.status, then.sha256)


async def test_unasked_206__for_a_small_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A part that nobody asked for is never taken for the whole (row 11)."""
    package = wheel(padding=20_000)
    origin.publish(package, fmt="json")
    origin.misbehave(PATH + package.filename, faults.unasked_range(0, 100))
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert 502 == got.status
    assert [] == [digest for digest in digests(running.store) if digest.value == package.sha256]


@pytest.mark.keeps_spool
@pytest.mark.parametrize("listed", [True, False])
async def test_changed__in_the_middle(
    make_clocked: MakeClocked,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    clock: SteppedClock,
    listed: bool,
) -> None:
    """Two versions of a file are never glued: a change in mid-download breaks the transfer (row 12)."""
    other = wheel(padding=SIZE, seed=9)
    origin.publish(package)
    if not listed:
        unlisted(origin, package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, faults.hold_body(SEGMENT, gate), times=1)
    running = await make_clocked(origin.url, fetch={"connections": 1})

    asking = asyncio.create_task(get(http, address(running, package)))
    await gate.reached.wait()
    origin.file(PATH + package.filename, other.body)
    gate.open()
    got = await asking
    await until_idle(running)

    assert got.broken
    if not listed:
        clock.advance(60)
        then = await get(http, address(running, package))
        assert (200, other.sha256) == (then.status, then.sha256)


@pytest.mark.parametrize("ranges", [True, False])
async def test_rebuilt__body_with_wrong_beginning_on_resume(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, package: Package, ranges: bool
) -> None:
    """The whole sent again after a break, wrong where it was right before: what is kept is what was hashed (row 12)."""
    origin.publish(package)
    origin.file(PATH + package.filename, package.body, ranges=ranges, etag=None, last_modified=None)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), faults.cut(3 * SEGMENT), times=1)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), faults.flipped(1000), times=1)
    running = await make_clocked(origin.url)
    url = address(running, package)

    got = await get(http, url)

    assert no_complete_lie(got, package)
    await until_idle(running)
    assert no_complete_lie(await get(http, url), package)


async def test_parts__honoured_at_times_only(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """An upstream that gives a part first and then the whole: the file arrives all the same (row 11)."""
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), when=lambda request: not first(request))
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (200, package.sha256) == (got.status, got.sha256)


def first(request: Request) -> bool:
    """Whether a request is for the beginning."""
    return request.headers.get("range", "").startswith("bytes=0-")


# ---------------------------------------------------------------------- content codings


@pytest.mark.parametrize("listed", [True, False])
async def test_gzip__nobody_asked_for(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, listed: bool
) -> None:
    """A file that upstream compresses unasked is never handed on as if it were the file (row 13)."""
    origin.publish(package)
    if not listed:
        unlisted(origin, package)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), faults.gzipped())
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert got.status == 502 or got.broken
    assert [] == [digest for digest in digests(running.store) if digest.value != digest_of_page(origin)]


def digest_of_page(origin: Origin) -> str:
    """The sha256 of the project's page: the only thing that may be stored."""
    import hashlib  # noqa: PLC0415

    answer = origin._answer(Request("GET", "/simple/demo/", {}, 0.0))
    return hashlib.sha256(content(answer.body)).hexdigest()


async def test_gzip__file_that_is_gzip(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """An archive that is gzip by itself goes through byte for byte, whatever the client accepts."""
    body = gzip.compress(bytes(100_000), mtime=0)
    origin.file("/packages/demo-1.0.tar.gz", body)
    running = await make_proxy(origin.url)

    got = await get(http, f"{running.url}/pypi/packages/demo-1.0.tar.gz", accept_encoding="gzip")

    assert (200, body) == (got.status, got.body)
    assert "content-encoding" not in got.headers


# ---------------------------------------------------------------------- endless


async def test_endless__body_of_a_listed_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A body that does not end is given up where the index says that it ends (row 14)."""
    origin.publish(package, fmt="json")
    origin.misbehave(PATH + package.filename, faults.endless())
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert got.broken or got.status == 502
    await until_idle(running)
    assert origin.sent_body_bytes(PATH + package.filename) < 50_000_000


# ---------------------------------------------------------------------- many clients


@pytest.mark.keeps_spool
@pytest.mark.parametrize(
    "fault", [faults.cut(3 * SEGMENT), faults.flipped(10), faults.status(500), faults.hang_up()], ids=lambda _: ""
)
async def test_herd__on_a_failing_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, fault: Fault
) -> None:
    """Twenty clients of a file that fails all see an error or a broken transfer, never an empty 200 (row 16)."""
    unlisted(origin, package, etag=None, last_modified=None, ranges=False)
    origin.page("/simple/demo/", [package.link(PATH + package.filename)])
    origin.file(PATH + package.filename, package.body, etag=None, last_modified=None, ranges=False)
    origin.misbehave(PATH + package.filename, fault)
    running = await make_proxy(origin.url, fetch=SMALL)

    answers = await asyncio.gather(*(get(http, address(running, package)) for _ in range(20)))

    assert all(got.broken or got.status >= 500 for got in answers)
    await until_idle(running)


def test_faults__of_this_file_differ() -> None:
    """The wrong bytes of these tests are wrong."""
    assert Flipped(Plain(b"abc"), 1).read(0, 3) != b"abc"
    assert Noise(10, 1).read(0, 10) != wheel(padding=SIZE).body.read(0, 10)
