"""Files that no index vouches for."""

from __future__ import annotations

import gzip

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.policy import Policy
from proxy.apt.unlisted import UnlistedFiles
from proxy.cache.flight import WantedFile
from proxy.errors import Coded, NotFound, UpstreamUnreachable, Withheld, WrongBytes
from proxy.model import Kind, Outcome, Query, Span
from tests.apt.conftest import World, content, settle
from tests.memory_upstream import Gate, Scripted

WINDOW = 20.0
ADDRESS = ArchiveAddress("http", "deb.example", "keys/archive.asc")
WANTED = WantedFile("key", ADDRESS.url, Policy(window=WINDOW).site_of(ADDRESS), binary=False, looked_at=True)
ONE, TWO = {"etag": '"1"'}, {"etag": '"2"'}
PLAIN, ANEW = Query(ADDRESS), Query(ADDRESS, no_cache=True)


@pytest.fixture
def unlisted(world: World) -> UnlistedFiles:
    """What is tested."""
    return UnlistedFiles(world.store, world.downloads, world.documents, world.revalidator, world.clock)


async def ask(
    world: World, unlisted: UnlistedFiles, query: Query[ArchiveAddress] = PLAIN, kind: Kind = Kind.OTHER
) -> tuple[Outcome, bytes]:
    """What is answered, once all of it is stored."""
    shown = await unlisted.file(query, WANTED, kind)
    assert "no-cache" == shown.cache_control
    body = await content(world, shown.body)
    await settle(world)
    return shown.outcome, body


async def test_file__within_the_window_and_after(world: World, unlisted: UnlistedFiles) -> None:
    """Upstream is asked once in a window, and its newer file fetched."""
    world.upstream.on(ADDRESS.url, Scripted(b"one", headers=ONE))
    answers = [await ask(world, unlisted) for _ in range(2)]
    world.clock.advance(WINDOW + 1)
    world.upstream.on(ADDRESS.url, Scripted(status=304))
    answers += [await ask(world, unlisted) for _ in range(2)]
    world.clock.advance(WINDOW + 1)
    world.upstream.on(ADDRESS.url, Scripted(b"two!", headers=TWO))
    answers += [await ask(world, unlisted) for _ in range(2)]

    assert [
        (Outcome.MISS, b"one"),
        (Outcome.HIT, b"one"),
        (Outcome.REVALIDATED, b"one"),
        (Outcome.HIT, b"one"),
        (Outcome.MISS, b"two!"),
        (Outcome.HIT, b"two!"),
    ] == answers


async def test_file__no_cache(world: World, unlisted: UnlistedFiles) -> None:
    """For a client's no-cache, the file is fetched though its validators did not change."""
    world.upstream.on(ADDRESS.url, Scripted(b"one", headers=ONE))
    await ask(world, unlisted)
    world.clock.advance(3)
    world.upstream.on(ADDRESS.url, Scripted(b"two", headers=ONE))

    assert (Outcome.MISS, b"two") == await ask(world, unlisted, ANEW)
    assert all("If-None-Match" not in asked.headers for asked in world.upstream.asks)


@pytest.mark.parametrize("query", [PLAIN, ANEW])
@pytest.mark.parametrize("error", [UpstreamUnreachable("away"), WrongBytes("portal"), Withheld("no")])
async def test_file__upstream_fails(
    world: World, unlisted: UnlistedFiles, query: Query[ArchiveAddress], error: Exception
) -> None:
    """What is stored is served, with its age, when upstream does not send the file."""
    world.upstream.on(ADDRESS.url, Scripted(b"one"))
    await ask(world, unlisted)
    world.clock.advance(WINDOW + 1)
    world.upstream.on(ADDRESS.url, Scripted(error=error))  # type: ignore[arg-type]

    shown = await unlisted.file(query, WANTED, Kind.OTHER)

    assert (Outcome.STALE, WINDOW + 1, 0.0) == (shown.outcome, shown.age, shown.fresh_until)
    assert b"one" == await content(world, shown.body)


@pytest.mark.parametrize("query", [PLAIN, ANEW])
async def test_file__gone(world: World, unlisted: UnlistedFiles, query: Query[ArchiveAddress]) -> None:
    """A document that upstream no longer has is not found; a package is served on."""
    world.upstream.on(ADDRESS.url, Scripted(b"one"))
    await ask(world, unlisted)
    world.clock.advance(WINDOW + 1)
    world.upstream.on(ADDRESS.url, Scripted(error=NotFound("gone")))

    assert (Outcome.STALE, b"one") == await ask(world, unlisted, query, Kind.FILE)
    with pytest.raises(NotFound):
        await ask(world, unlisted, query)


async def test_file__not_found_is_remembered(world: World, unlisted: UnlistedFiles) -> None:
    """For some seconds, but for who says no-cache; a package that is new is there at once."""
    for request, kind, expected in (
        (PLAIN, Kind.OTHER, True),
        (PLAIN, Kind.OTHER, False),
        (ANEW, Kind.OTHER, True),
        (PLAIN, Kind.FILE, True),
    ):
        before = len(world.upstream.asks)
        if kind is Kind.FILE:
            world.clock.advance(11)
        with pytest.raises(NotFound):
            await ask(world, unlisted, request, kind)
        assert expected is (len(world.upstream.asks) > before)
    world.upstream.on(ADDRESS.url, Scripted(b"there"))
    assert (Outcome.MISS, b"there") == await ask(world, unlisted, PLAIN, Kind.FILE)


async def test_file__streams(world: World, unlisted: UnlistedFiles) -> None:
    """A large document is answered while it arrives; a range of it is, too."""
    gate = Gate()
    body = bytes(range(256)) * 1000
    world.upstream.on(ADDRESS.url, Scripted(body, body_gate=gate, gate_at=100_000, ranges=True))
    shown = await unlisted.file(PLAIN, WANTED, Kind.OTHER)
    assert len(body) == shown.size
    gate.open()
    assert body == await content(world, shown.body)
    await settle(world)

    part = await unlisted.file(Query(ADDRESS, span=Span(5, 10)), WANTED, Kind.OTHER)
    assert (Outcome.HIT, len(body)) == (part.outcome, part.size)


async def test_file__coded(world: World, unlisted: UnlistedFiles) -> None:
    """What comes coded, though identity was asked for, is decoded; from then on it is asked for once each time."""
    packed = {"content-encoding": "gzip", **ONE}
    world.upstream.on(ADDRESS.url, Scripted(gzip.compress(b"-----BEGIN", mtime=0), headers=packed))
    assert (Outcome.MISS, b"-----BEGIN") == await ask(world, unlisted)
    asked = len(world.upstream.asks)
    world.clock.advance(WINDOW + 1)
    world.upstream.on(ADDRESS.url, Scripted(gzip.compress(b"-----NEW", mtime=0), headers={**packed, **TWO}))
    assert (Outcome.MISS, b"-----NEW") == await ask(world, unlisted)
    assert asked + 2 == len(world.upstream.asks)


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>", gzip.compress(b"<html><body>log in", mtime=0)])
@pytest.mark.parametrize("content_type", ["text/html", "application/pgp-keys"])
async def test_file__portal(world: World, unlisted: UnlistedFiles, body: bytes, content_type: str) -> None:
    """A portal's page is recognized by its bytes, whatever its type or coding; what is stored stays."""
    headers = {"content-type": content_type} | ({} if body.startswith(b"<") else {"content-encoding": "gzip"})
    world.upstream.on(ADDRESS.url, Scripted(body, headers=headers))
    with pytest.raises(WrongBytes):
        await ask(world, unlisted)

    world.clock.advance(120)
    world.upstream.on(ADDRESS.url, Scripted(b"key", headers={"content-type": content_type}))
    assert (Outcome.MISS, b"key") == await ask(world, unlisted)
    world.clock.advance(120)
    world.upstream.on(ADDRESS.url, Scripted(body, headers=headers))
    assert (Outcome.STALE, b"key") == await ask(world, unlisted)


async def test_tables__are_bounded(world: World, unlisted: UnlistedFiles) -> None:
    """Addresses that somebody makes up do not fill the memory."""
    unlisted._negative.most = unlisted._coded.most = 3
    for number in range(10):
        for answer in (Scripted(error=NotFound("no")), Scripted(error=Coded("gzip"))):
            url = f"http://deb.example/{number}/{answer.error}"
            world.upstream.on(url, answer)
            with pytest.raises((NotFound, Coded)):
                await unlisted.file(ANEW, WantedFile(url, url, WANTED.site), Kind.OTHER)

    assert (3, 3) == (len(unlisted._negative), len(unlisted._coded))
