"""Bare connections for tunnels: to whom one is opened."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.errors import BadTarget, NotAllowed, UpstreamTimeout, UpstreamUnreachable
from proxy.model import Event, UpstreamFailed
from proxy.upstream.guard import Trust
from proxy.upstream.lines import Lines, Place, place, places


class Silent(AbstractResolver):
    """A name service that never answers."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Wait for ever."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError(host, port, family)

    async def close(self) -> None:
        """Nothing to close."""


class Nowhere(Silent):
    """A name service that knows no name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """No address."""
        return []


@contextlib.asynccontextmanager
async def lines(allowed: dict[Place, Trust], resolver: AbstractResolver | None = None) -> AsyncIterator[Lines]:
    """Lines that fail at once."""
    made = Lines(allowed, observer=lambda _: None, connect_timeout=5.0, resolver=resolver)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("files.example:443", ("files.example", 443)),
        ("FILES.example.:8443", ("files.example", 8443)),
        ("10.0.0.7:443", ("10.0.0.7", 443)),
        ("[FD00::0007]:443", ("fd00::7", 443)),
    ],
)
def test_place(authority: str, expected: Place) -> None:
    """Host and port, the host as it is compared."""
    assert expected == place(authority)


@pytest.mark.parametrize(
    "authority",
    ["", "a", "a:", ":443", "a:0", "a:65536", "a:443/", "user@a:443", "::1:443", "http://a:443", "a%2e:443", "[::g]:1"],
)
def test_place__malformed(authority: str) -> None:
    """Anything but `host:port` is refused."""
    with pytest.raises(BadTarget):
        place(authority)


@pytest.mark.parametrize("authority", ["127.1:443", "2130706433:443"])
def test_place__number_for_a_host(authority: str) -> None:
    """What the system's resolver would read as an address is no name."""
    with pytest.raises(NotAllowed):
        place(authority)


def test_places__of_settings() -> None:
    """A host alone means port 443; who is there by default is trusted less than who was named."""
    assert {
        ("a.example", 443): Trust.OPEN,
        ("b.example", 443): Trust.NAMED,
        ("b.example", 8443): Trust.NAMED,
        ("::1", 443): Trust.NAMED,
        ("::1", 8443): Trust.NAMED,
    } == places(["a.example", "B.example", "b.example:8443", "[::1]", "[::1]:8443"], ["a.example"])


async def test_open__connects() -> None:
    """A host that the settings name may be at a loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = ("localhost", server.getsockname()[1])
        async with lines({to: Trust.NAMED}) as made:
            _, writer = await made.open(to)
            writer.close()
            await writer.wait_closed()


async def test_open__not_listed() -> None:
    """Another host, or another port of a listed one, is refused, with the setting that opens it; nobody is asked."""
    async with lines({("files.example", 443): Trust.NAMED}, Silent()) as made:
        for to in (("other.example", 443), ("files.example", 80)):
            with pytest.raises(NotAllowed, match=r"apt\.tunnels"):
                await made.open(to)


async def test_open__default_host_at_a_private_address() -> None:
    """A name that nobody wrote in the settings gains nothing by resolving to the machine itself."""
    async with lines({("localhost", 443): Trust.OPEN}) as made:
        with pytest.raises(NotAllowed, match="private address"):
            await made.open(("localhost", 443))


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0"])
async def test_open__never(host: str) -> None:
    """A metadata service is not reached even by name."""
    async with lines({(host, 443): Trust.NAMED}) as made:
        with pytest.raises(NotAllowed):
            await made.open((host, 443))


async def test_open__refused() -> None:
    """A closed port is told and counted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = ("127.0.0.1", server.getsockname()[1])
    seen: list[Event] = []
    made = Lines({to: Trust.NAMED}, observer=seen.append)
    with pytest.raises(UpstreamUnreachable):
        await made.open(to)
    await made.close()
    assert [UpstreamFailed("-", "unreachable")] == seen


async def test_open__unknown_name() -> None:
    """A name without an address is a host that cannot be reached."""
    async with lines({("a.example", 443): Trust.NAMED}, Nowhere()) as made:
        with pytest.raises(UpstreamUnreachable):
            await made.open(("a.example", 443))


async def test_open__silent() -> None:
    """Name and connection together have a limit."""
    made = Lines({("a.example", 443): Trust.NAMED}, observer=lambda _: None, connect_timeout=0.01, resolver=Silent())
    with pytest.raises(UpstreamTimeout):
        await made.open(("a.example", 443))
