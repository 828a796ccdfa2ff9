"""Bare connections for tunnels: to whom one is opened."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import Settings
from proxy.errors import BadTarget, NotAllowed, UpstreamTimeout, UpstreamUnreachable
from proxy.events import Event, UpstreamFailed
from proxy.upstream.guard import Trust
from proxy.upstream.tunnel_connections import HostPort, TunnelConnections, allowed_hosts, parse_authority
from tests.certificates import bundle, server_context
from tests.forward import Forward, answer
from tests.origin import Origin


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
async def connections(
    allowed: dict[HostPort, Trust], resolver: AbstractResolver | None = None
) -> AsyncIterator[TunnelConnections]:
    """Lines that fail at once."""
    made = TunnelConnections(allowed, observer=lambda _: None, connect_timeout=5.0, resolver=resolver)
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
def test_parse_authority(authority: str, expected: HostPort) -> None:
    """Host and port, the host as it is compared."""
    assert expected == parse_authority(authority)


@pytest.mark.parametrize(
    "authority",
    ["", "a", "a:", ":443", "a:0", "a:65536", "a:443/", "user@a:443", "::1:443", "http://a:443", "a%2e:443", "[::g]:1"],
)
def test_parse_authority__malformed(authority: str) -> None:
    """Anything but `host:port` is refused."""
    with pytest.raises(BadTarget):
        parse_authority(authority)


@pytest.mark.parametrize("authority", ["127.1:443", "2130706433:443"])
def test_parse_authority__number_for_a_host(authority: str) -> None:
    """What the system's resolver would read as an address is no name."""
    with pytest.raises(NotAllowed):
        parse_authority(authority)


def test_allowed_hosts__of_settings() -> None:
    """A host alone means port 443; who is there by default is trusted less than who was named."""
    assert {
        ("a.example", 443): Trust.OPEN,
        ("b.example", 443): Trust.NAMED,
        ("b.example", 8443): Trust.NAMED,
        ("::1", 443): Trust.NAMED,
        ("::1", 8443): Trust.NAMED,
    } == allowed_hosts(["a.example", "B.example", "b.example:8443", "[::1]", "[::1]:8443"], ["a.example"])


async def test_open__connects() -> None:
    """A host that the settings name may be at a loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = ("localhost", server.getsockname()[1])
        async with connections({to: Trust.NAMED}) as made:
            _, writer = await made.open(to)
            accepted, peer = server.accept()
            assert writer.get_extra_info("sockname") == peer
            accepted.close()
            writer.close()
            await writer.wait_closed()


async def test_open__not_listed() -> None:
    """Another host, or another port of a listed one, is refused, with the setting that opens it; nobody is asked."""
    async with connections({("files.example", 443): Trust.NAMED}, Silent()) as made:
        for to in (("other.example", 443), ("files.example", 80)):
            with pytest.raises(NotAllowed, match=r"apt\.tunnels"):
                await made.open(to)


async def test_open__default_host_at_a_private_address() -> None:
    """A name that nobody wrote in the settings gains nothing by resolving to the machine itself."""
    async with connections({("localhost", 443): Trust.OPEN}) as made:
        with pytest.raises(NotAllowed, match="private address"):
            await made.open(("localhost", 443))


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0"])
async def test_open__never(host: str) -> None:
    """A metadata service is not reached even by name."""
    async with connections({(host, 443): Trust.NAMED}) as made:
        with pytest.raises(NotAllowed):
            await made.open((host, 443))


async def test_open__refused() -> None:
    """A closed port is reported and counted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = ("127.0.0.1", server.getsockname()[1])
    seen: list[Event] = []
    made = TunnelConnections({to: Trust.NAMED}, observer=seen.append)
    with pytest.raises(UpstreamUnreachable):
        await made.open(to)
    await made.close()
    assert [UpstreamFailed("-", "unreachable")] == seen


async def test_open__unknown_name() -> None:
    """A name without an address is a host that cannot be reached."""
    async with connections({("a.example", 443): Trust.NAMED}, Nowhere()) as made:
        with pytest.raises(UpstreamUnreachable):
            await made.open(("a.example", 443))


async def test_open__silent() -> None:
    """Name and connection together have a limit."""
    made = TunnelConnections(
        {("a.example", 443): Trust.NAMED}, observer=lambda _: None, connect_timeout=0.01, resolver=Silent()
    )
    with pytest.raises(UpstreamTimeout):
        await made.open(("a.example", 443))


PAIR = "me:pr0xy-s3cret"


@contextlib.asynccontextmanager
async def proxied(forward: Forward, to: HostPort, trust: Trust = Trust.NAMED) -> AsyncIterator[TunnelConnections]:
    """Lines whose way leads through a proxy."""
    proxies = KnownProxies.find(Settings(data=Path("/data"), proxy=forward.url), {})
    made = TunnelConnections({to: trust}, observer=lambda _: None, proxies=proxies, via="cache-1", connect_timeout=5.0)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
async def test_open__through_a_proxy(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    """The proxy opens a tunnel of its own to a host that only it knows; what is said passes both ways."""
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle(authority, tmp_path / "authority.pem")))
    tls = server_context(authority) if secure else None
    async with Forward(pair=PAIR, tls=tls) as forward, Origin() as origin:
        origin.file("/x", b"there")
        forward.names["files.invalid:443"] = origin.port
        async with proxied(forward, ("files.invalid", 443)) as made:
            reader, writer = await made.open(("files.invalid", 443))
            writer.write(b"GET /x HTTP/1.1\r\nHost: files.invalid\r\nConnection: close\r\n\r\n")
            assert (await reader.read(1 << 16)).startswith(b"HTTP/1.1 200")
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        assert ["files.invalid:443"] == forward.targets("CONNECT")
        assert "1.1 cache-1" == forward.requests[0].headers["via"]


@pytest.mark.parametrize(
    ("instead", "word"),
    [
        (answer(403, b"no"), r"opens no way"),
        (answer(407, b"no"), r"refuses the user and password"),
        (answer(504, b"no"), r"could not reach upstream"),
        (b"HTTP/9 what", r"no answer that can be read"),
        (b"", r"no answer that can be read"),
        (b"HTTP/1.1 200 " + b"x" * (1 << 17), r"no answer that can be read"),
    ],
)
async def test_open__refused_by_the_proxy(instead: bytes, word: str) -> None:
    """A refusal of the proxy is reported as the proxy's, with the setting that names it, and without a secret."""
    async with Forward(pair=PAIR, instead=lambda _: instead) as forward:
        async with proxied(forward, ("files.invalid", 443)) as made:
            with pytest.raises(UpstreamUnreachable, match=word) as caught:
                await made.open(("files.invalid", 443))
    assert "`proxy` in the settings" in str(caught.value)
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_open__proxy_is_down() -> None:
    """A proxy that cannot be reached is named as such."""
    async with Forward() as forward:
        pass
    async with proxied(forward, ("files.invalid", 443)) as made:
        with pytest.raises(UpstreamUnreachable, match="The proxy that `proxy` in the settings names cannot be reached"):
            await made.open(("files.invalid", 443))


async def test_open__proxy_that_is_not_trusted(authority: trustme.CA) -> None:
    """So is one whose certificate does not count."""
    async with Forward(tls=server_context(authority)) as forward:
        async with proxied(forward, ("files.invalid", 443)) as made:
            with pytest.raises(UpstreamUnreachable, match="certificate of the proxy"):
                await made.open(("files.invalid", 443))


async def test_open__own_name_through_a_proxy() -> None:
    """A name of the machine itself that nobody wrote in the settings is not asked of the proxy."""
    async with Forward() as forward, proxied(forward, ("localhost", 443), Trust.OPEN) as made:
        with pytest.raises(NotAllowed, match="private address"):
            await made.open(("localhost", 443))
        assert [] == forward.requests
