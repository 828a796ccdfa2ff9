"""One conditional request for a Release file."""

from __future__ import annotations

import pytest

from proxy.apt import release
from proxy.apt.fetching import fetch
from proxy.errors import NotFound, TooLarge, UpstreamBroken
from proxy.model import Validator
from tests.apt.conftest import SITE, World
from tests.memory_upstream import Scripted

URL = "http://deb.example/debian/dists/stable/InRelease"


async def test_fetch(world: World) -> None:
    """The body as it came, what upstream said of it, and its own clock; asked for as apt asks."""
    headers = {"ETag": '"1"', "Last-Modified": "then", "Date": "now", "Content-Encoding": "gzip"}
    world.upstream.on(URL, Scripted(b"body", headers=headers, url="http://other.example/InRelease"))

    sent = await fetch(world.upstream, world.bodies, URL, SITE, {"If-None-Match": '"0"'})

    assert sent is not None
    assert ("http://other.example/InRelease", b"body", Validator('"1"', "then"), "now") == (
        sent.url,
        sent.body,
        sent.validator,
        sent.date,
    )
    assert {"Cache-Control": "max-age=0", "If-None-Match": '"0"'} == world.upstream.asks[0].headers


async def test_fetch__unchanged(world: World) -> None:
    """304 has no body."""
    world.upstream.on(URL, Scripted(status=304))

    assert await fetch(world.upstream, world.bodies, URL, SITE, {"If-None-Match": '"0"'}) is None


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Scripted(bytes(release.MOST + 1)), TooLarge),
        (Scripted(status=404), NotFound),
        (Scripted(status=304), UpstreamBroken),
        (Scripted(b"1234", cut=2), UpstreamBroken),
    ],
)
async def test_fetch__refused(world: World, script: Scripted, error: type[Exception]) -> None:
    """Too much, nothing, or less than there should be."""
    world.upstream.on(URL, script)

    with pytest.raises(error):
        await fetch(world.upstream, world.bodies, URL, SITE, {})
