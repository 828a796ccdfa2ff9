"""Bodies straight from upstream: ranges, and whole files that are checked on their way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.cache.passthrough import Passthrough
from proxy.errors import UpstreamBroken, WrongBytes
from proxy.model import Kind
from tests.cache.conftest import BODY, URL, wanted
from tests.memory_upstream import MemoryUpstream, Scripted


async def read(passthrough: Passthrough) -> bytes:
    """All of it, and let it go."""
    try:
        return b"".join([piece async for piece in passthrough.chunks()])
    finally:
        await passthrough.close()


async def test_open__part(upstream: MemoryUpstream) -> None:
    """A part says where it lies in the whole."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    passthrough = Passthrough(upstream, wanted())
    await passthrough.open(100, 200, {})
    assert (100, 200, len(BODY), False) == (passthrough.start, passthrough.end, passthrough.size, passthrough.whole)
    assert BODY[100:200] == await read(passthrough)
    assert 0 == upstream.open


@pytest.mark.parametrize(
    ("start", "end", "kind"),
    [
        (0, 1, Kind.METADATA),
        (100, 100 + (512 << 10), Kind.METADATA),
        (-(32 << 10), None, Kind.METADATA),
        (0, 1 + (512 << 10), Kind.FILE),
        (-(1 << 20), None, Kind.FILE),
        (100, None, Kind.FILE),
        (0, None, Kind.FILE),
    ],
)
async def test_open__what_it_is_for(upstream: MemoryUpstream, start: int, end: int | None, kind: Kind) -> None:
    """A short part is asked for as metadata is; it waits for no file."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    passthrough = Passthrough(upstream, wanted())
    await passthrough.open(start, end, {})
    await passthrough.close()
    assert [kind] == [ask.kind for ask in upstream.asks]


async def test_open__no_parts_there(upstream: MemoryUpstream) -> None:
    """An upstream that gives the whole in place of a part is of no use."""
    upstream.on(URL, Scripted(BODY))
    passthrough = Passthrough(upstream, wanted())
    with pytest.raises(UpstreamBroken):
        await passthrough.open(100, 200, {})
    await passthrough.close()


@pytest.mark.parametrize("body", [BODY[:-1] + b"?", b"?" + BODY[1:]])
async def test_chunks__wrong_whole(upstream: MemoryUpstream, body: bytes) -> None:
    """The end of a whole file that is not the promised one never comes."""
    upstream.on(URL, Scripted(body))
    passthrough = Passthrough(upstream, wanted())
    await passthrough.open(0, None, {})
    received = b""
    with pytest.raises(WrongBytes):
        async for piece in passthrough.chunks():
            received += piece
    await passthrough.close()
    assert len(received) < len(BODY)


@pytest.mark.parametrize("media_type", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
async def test_open__html_for_a_wheel(upstream: MemoryUpstream, media_type: str) -> None:
    """HTML for a binary file is refused at its head, also where no digest is known."""
    upstream.on(URL, Scripted(b"<html>", headers={"content-type": media_type}))
    passthrough = Passthrough(upstream, wanted(None))
    with pytest.raises(WrongBytes):
        await passthrough.open(0, None, {})
    await passthrough.close()


async def test_open__coding_nobody_asked_for(upstream: MemoryUpstream) -> None:
    """A file in a content coding is refused where no digest could tell what it is."""
    for size in (3, 200_000):
        upstream.on(URL, Scripted(b"zip" * size, headers={"content-encoding": "gzip"}))
        passthrough = Passthrough(upstream, wanted(None))
        await passthrough.open(0, None, {})
        with pytest.raises(UpstreamBroken):
            await read(passthrough)


async def test_open__other_length(upstream: MemoryUpstream) -> None:
    """A length other than a signed list says is refused at the head."""
    upstream.on(URL, Scripted(BODY + b"more"))
    passthrough = Passthrough(upstream, replace(wanted(), signed=True))
    with pytest.raises(WrongBytes):
        await passthrough.open(0, None, {})
    await passthrough.close()
