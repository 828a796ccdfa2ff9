"""Opening a file for one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.cache.downloads import Downloads
from proxy.cache.file_opener import FileOpener
from proxy.cache.flight import Flight, follow
from proxy.cache.lanes import Lanes
from proxy.cache.passthrough import Passthrough
from proxy.errors import NotFound
from proxy.model import Blob, Source, Span, UpstreamRequest
from tests.cache.conftest import BODY, URL, HandClock, wanted
from tests.memory_store import MemoryStore
from tests.memory_upstream import Gate, MemoryUpstream, Scripted

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
HEADERS = {"Last-Modified": DATE}


@pytest.fixture
async def opener(store: MemoryStore, upstream: MemoryUpstream, clock: HandClock) -> AsyncIterator[FileOpener]:
    """An opener to files of `upstream`."""
    downloads = Downloads(store, upstream, clock, lambda _: None, Lanes(1, 1 << 20))
    yield FileOpener(downloads)
    await downloads.close()


async def whole(opener: FileOpener) -> tuple[Blob | Flight | Passthrough, Source]:
    """The file, asked for without a range."""
    return await opener.body(wanted(), None, None, head=False)


async def test_body__flight_then_blob(opener: FileOpener, upstream: MemoryUpstream) -> None:
    """The first request starts a flight, the next shares it, a later one gets the stored file."""
    gate = Gate()
    upstream.on(URL, Scripted(BODY, ranges=True, body_gate=gate, gate_at=1000))

    first, source = await whole(opener)
    second, shared = await whole(opener)
    gate.open()
    assert isinstance(first, Flight)
    assert first is second
    assert BODY == b"".join([piece async for piece in follow(first, 0)])
    while opener._downloads.running(wanted()):
        await asyncio.sleep(0)
    blob, kept = await whole(opener)

    assert [Source.UPSTREAM, Source.SHARED, Source.CACHE] == [source, shared, kept]
    assert isinstance(blob, Blob)


async def test_body__short_range_of_a_cold_file(opener: FileOpener, upstream: MemoryUpstream) -> None:
    """A look at a part starts no download; what upstream said of the file is known."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=HEADERS))

    part, source = await opener.body(wanted(None), Span(5, 10), DATE, head=False)

    assert isinstance(part, Passthrough)
    assert (Source.UPSTREAM, 5, 10, DATE) == (source, part.start, part.end, part.last_modified)
    assert BODY[5:10] == b"".join([piece async for piece in part.chunks()])
    assert DATE == upstream.asks[0].headers["If-Range"]
    await part.close()


async def test_body__range_of_another_version(opener: FileOpener, upstream: MemoryUpstream) -> None:
    """Where upstream has another version than the condition names, the whole is fetched."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=HEADERS))

    body, _ = await opener.body(wanted(None), Span(5, 10), "Mon, 07 Nov 1994 08:49:37 GMT", head=False)

    assert isinstance(body, Flight)


async def test_body__last_bytes(opener: FileOpener, upstream: MemoryUpstream) -> None:
    """The end of a file of unknown size is asked for when the size is known."""
    upstream.on(URL, Scripted(BODY, ranges=True))

    part, _ = await opener.body(wanted(None), Span(suffix=3), None, head=False)

    assert isinstance(part, Passthrough)
    assert BODY[-3:] == b"".join([piece async for piece in part.chunks()])
    await part.close()


async def test_body__all_of_it_as_a_range(opener: FileOpener, upstream: MemoryUpstream) -> None:
    """A range that is the file is the file."""
    upstream.on(URL, Scripted(BODY, ranges=True))

    assert isinstance((await opener.body(wanted(), Span(0), None, head=False))[0], Flight)


async def test_body__size_that_changes(opener: FileOpener, upstream: MemoryUpstream) -> None:
    """An upstream that says another size each time is not asked for the last bytes for ever: the whole is fetched."""

    def longer(_: UpstreamRequest) -> Scripted:
        assert 10 > len(upstream.asks)
        return Scripted(BODY + bytes(len(upstream.asks)), ranges=True)

    upstream.on(URL, longer)
    body, _ = await opener.body(wanted(None), Span(suffix=3), None, head=False)
    assert isinstance(body, Flight)


@pytest.mark.parametrize("ranges", [True, False])
async def test_body__head(opener: FileOpener, upstream: MemoryUpstream, ranges: bool) -> None:
    """The head of a cold file is learnt without the file."""
    upstream.on(URL, Scripted(BODY, ranges=ranges, headers=HEADERS))

    body, _ = await opener.body(wanted(None), None, None, head=True)

    assert isinstance(body, Passthrough)
    assert (0, len(BODY), DATE) == (body.start, body.end, body.last_modified)


async def test_body__missing(opener: FileOpener) -> None:
    """What upstream does not have is not there."""
    for span in (None, Span(5, 10)):
        with pytest.raises(NotFound):
            await opener.body(wanted(), span, None, head=False)
