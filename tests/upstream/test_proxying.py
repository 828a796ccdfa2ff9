"""The client through a real forward proxy: what reaches whom, whose failure it is, and what is refused before."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from proxy.config.credentials import KnownCredentials
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.errors import (
    NotAllowed,
    PullthroughError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.model import Site, UpstreamRequest
from proxy.upstream.client import AiohttpUpstream
from tests import faults
from tests.answers import Answer
from tests.bodies import Noise
from tests.certificates import server_context
from tests.forward import Forward, answer
from tests.origin import Origin
from tests.upstream.conftest import HandClock, Make, Seen
from tests.upstream.scripted import plain_http

PAIR = "me:pr0xy-s3cret"
PLAIN = Site("demo", "http://index.invalid/", "", 600.0)
SECURE = Site("demo", "https://index.invalid/", "", 600.0)


@pytest.fixture
async def forward() -> AsyncIterator[Forward]:
    """A proxy that wants credentials."""
    async with Forward(pair=PAIR) as running:
        yield running


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client needs to trust the private authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def named(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """What a server of these names needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def by(proxy: str, environ: dict[str, str] | None = None) -> KnownProxies:
    """The ways of settings with this proxy."""
    return KnownProxies.find(Settings(data=Path("/data"), proxy=proxy), environ or {})


def redirect(location: str) -> Answer:
    """A redirect."""
    return Answer(302, (("Location", location),))


async def read(client: AiohttpUpstream, url: str, site: Site) -> bytes:
    """Ask, and read the body out into the reader's own memory, as downloads do."""
    memory, body = memoryview(bytearray(1 << 20)), bytearray()
    async with client.get(UpstreamRequest(url, site)) as reply:
        while size := await reply.readinto(memory):
            body += memory[:size]
    return bytes(body)


async def failure(client: AiohttpUpstream, site: Site, url: str | None = None) -> PullthroughError:
    """How asking fails. Nothing of it, nor of what led to it, holds the password."""
    with pytest.raises(PullthroughError) as caught:
        await read(client, url or f"{site.base}x", site)
    link: BaseException | None = caught.value
    while link is not None:
        assert not [
            secret for secret in ("pr0xy-s3cret", "bWU6cHIweHk") if secret in f"{link!r} {link} {link.__dict__}"
        ]
        link = link.__cause__ or link.__context__
    return caught.value


# What reaches whom


async def test_plain__in_absolute_form(forward: Forward, origin: Origin, make: Make) -> None:
    """An http address is asked of the proxy, over one connection again and again; the password stays there."""
    forward.names["index.invalid:80"] = origin.port
    origin.file("/x", b"there")
    client = make(proxies=by(forward.url), via="cache-1")

    assert [b"there"] * 3 == [await read(client, "http://index.invalid/x?a=%2F", PLAIN) for _ in range(3)]

    assert ["http://index.invalid/x?a=%2F"] * 3 == forward.targets("GET")
    assert (1, 1) == (forward.accepted, origin.accepted)
    heard = origin.requests[0].headers
    assert ("index.invalid", "1.1 cache-1") == (heard["host"], forward.requests[0].headers["via"])
    assert "proxy-authorization" not in heard


async def test_secure__through_a_tunnel(
    forward: Forward, authority: trustme.CA, trusting: ssl.SSLContext, make: Make
) -> None:
    """An https address is asked of its host within a tunnel, used again and again; the proxy sees host and port."""
    async with Origin(tls=named(authority, "index.invalid")) as origin:
        forward.names["index.invalid:443"] = origin.port
        origin.file("/x", b"there")
        client = make(proxies=by(forward.url), via="cache-1", ssl_context=trusting)

        assert [b"there"] * 3 == [await read(client, "https://index.invalid/x", SECURE) for _ in range(3)]

        assert ["index.invalid:443"] == [passed.target for passed in forward.requests]
        assert "1.1 cache-1" == forward.requests[0].headers["via"]
        assert not {"via", "proxy-authorization"} & {name for asked in origin.requests for name in asked.headers}
        assert 1 == origin.accepted
        await client.close()


@pytest.mark.parametrize("tls_outside", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("tls_inside", [False, True], ids=["http", "https"])
async def test_large__is_read_off_the_connection(
    authority: trustme.CA, trusting: ssl.SSLContext, make: Make, seen: Seen, tls_outside: bool, tls_inside: bool
) -> None:
    """A large body comes whole by each of the ways, and its connection is used for the next one."""
    body = Noise(9 << 20, seed=4)
    site = SECURE if tls_inside else PLAIN
    async with (
        Origin(tls=named(authority, "index.invalid") if tls_inside else None) as origin,
        Forward(pair=PAIR, tls=server_context(authority) if tls_outside else None) as forward,
    ):
        forward.names["index.invalid:443" if tls_inside else "index.invalid:80"] = origin.port
        origin.file("/x", body)
        client = make(proxies=by(forward.url), ssl_context=trusting)

        for _ in range(2):
            assert body.read(0, body.size) == await read(client, f"{site.base}x", site)

        assert (1, 1) == (forward.accepted, origin.accepted)
        assert 2 * body.size == seen.fetched
        await client.close()


async def test_credentials__of_upstream_stay_inside(
    forward: Forward, authority: trustme.CA, trusting: ssl.SSLContext, make: Make
) -> None:
    """Credentials for upstream do not reach a proxy that only opens a tunnel."""
    upstream = UpstreamSettings(mount="demo", url=SECURE.base, credentials="env:ONE")
    settings = Settings(data=Path("/data"), upstreams=(upstream,))
    async with Origin(tls=named(authority, "index.invalid")) as origin:
        forward.names["index.invalid:443"] = origin.port
        origin.file("/x", b"there")
        known = KnownCredentials.find(settings, {"ONE": "me:upstream-s3cret"})
        client = make(proxies=by(forward.url), ssl_context=trusting, credentials=known)

        await read(client, "https://index.invalid/x", SECURE)

        assert "authorization" not in forward.requests[0].headers
        assert "authorization" in origin.requests[0].headers
        await client.close()


async def test_redirect__each_hop_by_its_own_way(forward: Forward, origin: Origin, make: Make) -> None:
    """A hop that NO_PROXY covers goes straight, with nothing for a proxy; the next goes through it again."""
    async with Origin("127.0.0.4") as other:
        forward.names["index.invalid:80"] = origin.port
        origin.route("/a", lambda _: redirect(f"{other.url}/b"))
        other.route("/b", lambda _: redirect("http://index.invalid/c"))
        origin.file("/c", b"there")
        site = Site("demo", PLAIN.base, "", 600.0, frozenset({"127.0.0.4"}))

        got = await read(make(proxies=by(forward.url, {"no_proxy": "127.0.0.4"})), "http://index.invalid/a", site)

        assert b"there" == got
        assert ["http://index.invalid/a", "http://index.invalid/c"] == forward.targets("GET")
        assert not {"via", "proxy-authorization"} & set(other.requests[0].headers)


async def test_straight__where_no_proxy_is_named(forward: Forward, origin: Origin, make: Make) -> None:
    """Without a proxy in the settings, or past it, requests are what they were."""
    origin.file("/x", b"there")
    site = Site("demo", f"{origin.url}/", "", 600.0)
    for proxies in (None, by("direct"), by(forward.url, {"NO_PROXY": "127.0.0.0/8"})):
        assert b"there" == await read(make(proxies=proxies, via="cache-1"), f"{origin.url}/x", site)
    assert [] == forward.requests
    assert "via" not in origin.requests[0].headers


@pytest.mark.parametrize(
    "established",
    [
        b"HTTP/1.0 200 OK\r\nServer: x\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nProxy-Agent: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",  # RFC 9110 §9.3.6: means nothing here
    ],
)
async def test_secure__however_the_proxy_says_yes(
    forward: Forward, authority: trustme.CA, trusting: ssl.SSLContext, make: Make, established: bytes
) -> None:
    """Old and new proxies open tunnels in other words."""
    forward.established = established
    async with Origin(tls=named(authority, "index.invalid")) as origin:
        forward.names["index.invalid:443"] = origin.port
        origin.file("/x", b"there")
        client = make(proxies=by(forward.url), ssl_context=trusting)
        assert [b"there"] * 2 == [await read(client, "https://index.invalid/x", SECURE) for _ in range(2)]
        assert 1 == origin.accepted
        await client.close()


# Whose failure it is


async def test_refused__password(forward: Forward, make: Make, naps: list[float], seen: Seen) -> None:
    """A 407 says which setting to mend, is not tried again at once, and is no word about upstream's host."""
    for site in (PLAIN, SECURE):
        for who, word in (("me:wrong@", "refuses the user and password"), ("", "wants user and password")):
            client = make(proxies=by(f"http://{who}{forward.host}:{forward.port}"), retries=2)
            error = await failure(client, site)
            assert word in str(error)
            assert "`proxy` in the settings" in str(error)
            assert client.down(site.base), "nobody waits for what the proxy does not let through"
            await client.close()
    assert ([], 4) == (naps, len(forward.requests))
    assert ["unreachable"] * 4 == seen.failures


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (302, "opens no way"),
        (400, "opens no way"),
        (403, "opens no way"),
        (502, "could not reach upstream"),
        (508, "back to this cache"),
    ],
)
async def test_refused__tunnel(forward: Forward, make: Make, status: int, word: str) -> None:
    """What a proxy says instead of opening a tunnel is no answer of upstream's."""
    forward.instead = lambda _: answer(status, b"<html>secret-page</html>", "Location: http://elsewhere.invalid/")

    error = await failure(make(proxies=by(forward.url)), SECURE)

    assert isinstance(error, UpstreamUnreachable)
    assert word in str(error)
    assert "secret-page" not in str(error)


@pytest.mark.parametrize(("status", "expected"), [(407, UpstreamDenied), (508, UpstreamBroken)])
async def test_refused__within_the_tunnel(
    forward: Forward,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    make: Make,
    status: int,
    expected: type[UpstreamError],
) -> None:
    """What comes through a tunnel is upstream's own word, and its hosts behind the same proxy are not down for it."""
    async with Origin(tls=named(authority, "index.invalid")) as origin:
        forward.names["index.invalid:443"] = origin.port
        origin.file("/x", b"there")
        origin.misbehave("/x", faults.status(status))
        client = make(proxies=by(forward.url), ssl_context=trusting)

        error = await failure(client, SECURE)

        assert expected is type(error)
        assert "roxy" not in str(error)
        assert not client.down("https://other.invalid/")
        assert client.reaches(SECURE.base)
        await client.close()


@pytest.mark.parametrize("bad", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 2", b"\x00" * 100])
@pytest.mark.parametrize("site", [PLAIN, SECURE], ids=["http", "https"])
async def test_refused__no_answer(forward: Forward, make: Make, bad: bytes, site: Site) -> None:
    """A proxy that closes or says no HTTP is an upstream that failed, and the next request may go well."""
    forward.instead = lambda _: bad

    assert isinstance(await failure(make(proxies=by(forward.url)), site), UpstreamError)


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("name", ["127.0.0.1", "proxy.invalid"])
@pytest.mark.parametrize("site", [PLAIN, SECURE], ids=["http", "https"])
async def test_down__the_proxy(make: Make, clock: HandClock, naps: list[float], name: str, site: Site) -> None:
    """A proxy that is down or unknown is named as such; hosts behind it count as down while it does."""
    proxies = KnownProxies.find(Settings(data=Path("/data")), {"ALL_PROXY": f"{name}:{free_port()}"})
    client = make(proxies=proxies, retries=1)
    other = Site("other", "http://other.invalid/", "", 600.0)

    error = await failure(client, site)

    assert isinstance(error, UpstreamUnreachable)
    assert "roxy that the variable ALL_PROXY names" in str(error)
    assert 1 == len(naps)
    assert client.down(site.base)
    await failure(client, other)
    clock.seconds += 100.0
    assert not client.down(site.base)
    await failure(client, other)
    assert client.down(site.base), "what fails for one host fails for all that are behind the proxy"


async def test_down__upstream_behind_the_proxy(forward: Forward, make: Make, origin: Origin) -> None:
    """A host that the proxy cannot reach is down; its neighbours are not."""
    forward.names["other.invalid:80"] = origin.port
    origin.file("/x", b"there")
    forward.instead = lambda passed: answer(502) if passed.method == "CONNECT" else None
    client = make(proxies=by(forward.url))
    other = Site("other", "http://other.invalid/", "", 600.0)

    await failure(client, SECURE)

    assert client.down(SECURE.base)
    assert b"there" == await read(client, "http://other.invalid/x", other)
    assert not client.down(other.base)


async def test_silent__proxy(forward: Forward, make: Make) -> None:
    """A proxy that accepts and says nothing is waited for no longer than upstream is."""
    waiting = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        waiting.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    proxies = by(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    client = make(proxies=proxies, connect_timeout=0.05, read_timeout=0.05)
    for site in (PLAIN, SECURE):
        waiting.clear()
        error = await failure(client, site)
        assert isinstance(error, (UpstreamTimeout, UpstreamUnreachable))
        assert "The way led through the proxy that `proxy` in the settings names" in str(error)
        await waiting.wait()
    server.close()
    await server.wait_closed()


async def test_untrusted__proxy_or_upstream(
    authority: trustme.CA, trusting: ssl.SSLContext, make: Make, naps: list[float]
) -> None:
    """A certificate that is not trusted is said of the one that showed it."""
    stranger = named(trustme.CA(), "index.invalid", "127.0.0.3")
    async with (
        Origin(tls=stranger) as origin,
        Forward() as known,  # Python 3.11 stumbles over a failed handshake within another TLS connection
        Forward(tls=stranger) as unknown,
    ):
        known.names["index.invalid:443"] = origin.port
        texts = [
            str(await failure(make(proxies=by(forward.url), ssl_context=trusting, retries=1), SECURE))
            for forward in (known, unknown)
        ]
    assert texts[0].startswith("Upstream's TLS certificate is not trusted")
    assert texts[1].startswith("The TLS certificate of the proxy that `proxy` in the settings names is not trusted")
    assert [] == naps


async def test_untrusted__proxy_of_another_name(authority: trustme.CA, trusting: ssl.SSLContext, make: Make) -> None:
    """Of a certificate that is from a trusted authority it is said what else is wrong with it."""
    async with Forward(tls=named(authority, "other.invalid")) as forward:
        text = str(await failure(make(proxies=by(forward.url), ssl_context=trusting), PLAIN))
    assert "The TLS certificate of the proxy that `proxy` in the settings names is for other host names" in text


async def test_untrusted__proxy_without_tls(make: Make) -> None:
    """A proxy of plain HTTP at an https address, as people write it for https, has no certificate at all."""
    async with plain_http() as port:
        text = str(await failure(make(proxies=by(f"https://127.0.0.1:{port}")), PLAIN))
    assert "The proxy that `proxy` in the settings names does not speak TLS" in text
    assert "http://" in text


# What is refused before


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "127.0.0.0x1",
        "0xa9fea9fe.",
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
async def test_guard__private_targets(
    forward: Forward, make: Make, origin: Origin, host: str, redirected: bool
) -> None:
    """The proxy is asked for nothing at a private address or by a name of the machine itself."""
    forward.names["index.invalid:80"] = origin.port
    origin.route("/go", lambda _: redirect(f"http://{host}/secret"))
    url = "http://index.invalid/go" if redirected else f"http://{host}/secret"

    assert isinstance(await failure(make(proxies=by(forward.url)), PLAIN, url), NotAllowed)

    assert not [target for target in forward.targets("GET") if "secret" in target]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_guard__named_in_the_settings(forward: Forward, make: Make, origin: Origin, host: str) -> None:
    """A private host that the settings name is asked of the proxy like any other."""
    origin.file("/x", b"there")
    site = Site("demo", f"http://{host}:{origin.port}/", "", 600.0)

    assert b"there" == await read(make(proxies=by(forward.url)), f"{site.base}x", site)
    assert [f"{site.base}x"] == forward.targets("GET")
