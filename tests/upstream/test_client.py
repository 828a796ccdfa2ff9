"""The client over real connections: addresses, redirects, retries, back-off. What is no HTTP is in test_hostile."""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from msgspec import structs

from proxy.config.credentials import KnownCredentials
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.errors import (
    Forwarded,
    NoDescriptor,
    NotAllowed,
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamError,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.model import Kind, Site, UpstreamRequest
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.reply import AiohttpReply
from tests.upstream.conftest import HandClock, Make, Seen
from tests.upstream.scripted import Line, Scripted, Then, plain, plain_http, scripted
from tests.upstream.test_guard import Fixed


def site(server: Scripted, host: str = "127.0.0.1", hosts: frozenset[str] = frozenset()) -> Site:
    """A site whose base is the server, under this name."""
    return Site("demo", f"http://{host}:{server.port}/", "", 600.0, hosts)


def ask(server: Scripted, path: str = "x", headers: dict[str, str] | None = None) -> UpstreamRequest:
    """A request of the server, which is the site's base."""
    return UpstreamRequest(server.base + path, site(server), headers or {})


TOLD = f"Basic {base64.b64encode(b'me:s3cret').decode()}"


def telling(server: Scripted) -> KnownCredentials:
    """Credentials of the mount `demo`, whose base is the server."""
    upstream = UpstreamSettings(mount="demo", url=server.base, credentials="env:ONE")
    return KnownCredentials.find(Settings(data=Path("/data"), upstreams=(upstream,)), {"ONE": "me:s3cret"})


async def read(client: AiohttpUpstream, request: UpstreamRequest) -> bytes:
    """Ask, and read the body out."""
    async with client.get(request) as reply:
        return b"".join([chunk async for chunk in reply.chunks()])


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def moved(location: str, status: int = 302) -> Line:
    """A redirect."""
    return plain(b"elsewhere", f"Location: {location}", status=f"{status} Moved")


# Requests


async def test_get__headers_of_the_request(server: Scripted, make: Make) -> None:
    """A request has its User-Agent, wants no coding, carries no cookie, and has the headers that the caller adds."""
    server.on("/x", plain(b"1", "Set-Cookie: a=b; Path=/"))
    client = make()
    await read(client, ask(server))
    await read(client, ask(server, headers={"accept-encoding": "gzip", "Range": "bytes=0-"}))
    first, second = (seen.headers for seen in server.seen)
    assert {"host", "accept", "accept-encoding", "user-agent"} == set(first)
    assert (first["accept-encoding"], first["user-agent"].startswith("pullthrough/")) == ("identity", True)
    assert {"host", "accept", "accept-encoding", "user-agent", "range"} == set(second)
    assert second["accept-encoding"] == "gzip"


async def test_get__name_of_the_asker(server: Scripted, make: Make) -> None:
    """A site may get another User-Agent than the program's own."""
    server.on("/x", plain(b"1"))
    asked = ask(server)
    await read(make(), structs.replace(asked, site=structs.replace(asked.site, agent="Debian APT-HTTP/1.3")))
    assert ["Debian APT-HTTP/1.3"] == [seen.headers["user-agent"] for seen in server.seen]


async def test_get__address_as_written(server: Scripted, make: Make) -> None:
    """Percent-encoding reaches upstream as it stands in the address."""
    server.on("/a%2Bb+c%20d/?q=%2F", plain(b"here"))
    assert await read(make(), ask(server, "a%2Bb+c%20d/?q=%2F#sha256=00")) == b"here"


async def test_get__connection_is_used_again(server: Scripted, make: Make) -> None:
    """After a body was read out, and after a short error, the next request takes the same connection."""
    server.on("/x", plain(b"1"))
    server.on("/none", plain(b"no such file" * 100, status="404 No"))
    server.on("/moved", moved("/x"))
    client = make()
    await read(client, ask(server))
    with pytest.raises(NotFound):
        await read(client, ask(server, "none"))
    await read(client, ask(server, "moved"))
    assert server.connections == 1


async def test_get__left_in_the_middle(server: Scripted, make: Make) -> None:
    """A connection with unread bytes is dropped at once, and never used again."""
    server.on("/x", plain(bytes(50_000_000)))
    client = make()
    async with client.get(ask(server)) as reply:
        await anext(aiter(reply.chunks()))
    await server.until_idle()
    server.on("/x", plain(b"next"))
    assert await read(client, ask(server)) == b"next"


async def test_get__cancelled_before_the_head(server: Scripted, make: Make) -> None:
    """A request that is cancelled leaves no connection behind that could give its answer to the next one."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> Then:
        arrived.set()
        await release.wait()
        writer.write(plain(b"late").data)
        return Then.CLOSE

    server.on("/x", late, plain(b"next"))
    client = make()
    task = asyncio.create_task(read(client, ask(server)))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert await read(client, ask(server)) == b"next"
    assert server.connections == 2


@pytest.mark.parametrize(("seconds", "cancelled"), [(0.5, True), (30.0, False)])
async def test_get__needed_no_more(
    server: Scripted, make: Make, seen: Seen, clock: HandClock, seconds: float, cancelled: bool
) -> None:
    """A request that the cache ends is no failure of upstream, unless upstream was silent for long."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def held(writer: asyncio.StreamWriter) -> Then:
        arrived.set()
        await release.wait()
        return Then.CLOSE

    server.on("/x", held)
    task = asyncio.create_task(read(make(), ask(server)))
    await arrived.wait()
    clock.seconds += seconds
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()

    assert [(0, cancelled)] == [(event.status, event.cancelled) for event in seen.asked]
    assert [] == seen.failures


async def test_chunks__consumer_that_stops(server: Scripted, make: Make, seen: Seen) -> None:
    """A reader that does not read makes upstream wait: what it has in memory is bounded."""
    written = 0
    paused = asyncio.Event()

    async def endless(writer: asyncio.StreamWriter) -> Then:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        piece = bytes(1 << 20)
        while True:
            writer.write(piece)
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                paused.set()
                return Then.HOLD
            written += len(piece)

    server.on("/x", endless)
    async with make().get(ask(server)) as reply:
        await anext(aiter(reply.chunks()))
        await paused.wait()
    assert written < 32 << 20
    assert 0 < seen.fetched < 1 << 20


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect__followed(server: Scripted, make: Make, status: int) -> None:
    """All kinds are followed; the reply names the address that answered."""
    server.on("/x", moved("y/z?a=%2B", status))
    server.on("/y/z?a=%2B", plain(b"there"))
    async with make().get(ask(server)) as reply:
        assert server.base + "y/z?a=%2B" == reply.url
        assert [chunk async for chunk in reply.chunks()] == [b"there"]


async def test_redirect__in_circles(server: Scripted, make: Make, seen: Seen) -> None:
    """Five hops, then it is given up."""
    server.on("/x", moved("/x"))
    with pytest.raises(UpstreamBroken):
        await read(make(), ask(server))
    assert (len(server.seen), seen.failures) == (6, ["broken"])


async def test_redirect__to_a_private_address(server: Scripted, make: Make) -> None:
    """A redirect opens nothing that a link would not open."""
    async with scripted() as inside:
        inside.on("/secret", plain(b"secret"))
        server.on("/x", moved(f"http://127.0.0.1:{inside.port}/secret"))
        client = make(resolver=Fixed("127.0.0.1"))
        with pytest.raises(NotAllowed):
            await read(client, UpstreamRequest(f"http://named.example:{server.port}/x", site(server, "named.example")))
        assert inside.seen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_port__another_one_of_the_host(host: str, server: Scripted, make: Make) -> None:
    """What else listens on an upstream's host is asked by no link and by no redirect, unless the settings name it."""
    async with scripted() as inside:
        place = f"{host}:{inside.port}"
        inside.on("/x", plain(b"there"))
        server.on("/x", moved(f"http://{place}/x"))
        for url in (f"http://{place}/x", f"http://{host}:{server.port}/x"):
            with pytest.raises(NotAllowed):
                await read(make(), UpstreamRequest(url, site(server, host)))
        assert inside.seen == []
        for named in (place, host):
            known = site(server, host, frozenset({named}))
            assert await read(make(), UpstreamRequest(f"http://{host}:{server.port}/x", known)) == b"there"


async def test_redirect__credentials_stay(server: Scripted, make: Make) -> None:
    """Credentials go to another path of their origin, and to no other origin."""
    async with scripted() as other:
        server.on("/x", moved("/y"))
        server.on("/y", moved(other.base + "z"))
        other.on("/z", plain(b"there"))
        known = site(server, hosts=frozenset({f"127.0.0.1:{other.port}"}))
        await read(
            make(), UpstreamRequest(server.base + "x", known, {"Authorization": "Basic c2VjcmV0", "Range": "bytes=0-"})
        )
        assert ["authorization" in seen.headers for seen in server.seen] == [True, True]
        assert [("authorization" in s.headers, "range" in s.headers) for s in other.seen] == [(False, True)]


async def test_redirect__only_its_own_word(server: Scripted, make: Make) -> None:
    """Who wants the site's own word gets it by redirects within its hosts; another host is not asked."""
    async with scripted() as other:
        known = site(server, hosts=frozenset({f"127.0.0.1:{other.port}"}))
        known = structs.replace(known, own=frozenset({f"127.0.0.1:{server.port}"}))
        server.on("/x", moved("/y"))
        server.on("/y", plain(b"here"))
        server.on("/z", moved(other.base + "back"))
        other.on("/back", moved(server.base + "y"))
        assert b"here" == await read(make(), UpstreamRequest(server.base + "x", known, own=True))
        with pytest.raises(Forwarded):
            await read(make(), UpstreamRequest(server.base + "z", known, own=True))
        assert 0 == len(other.seen)
        assert b"here" == await read(make(), UpstreamRequest(server.base + "z", known))


# Credentials of the settings


async def test_credentials__origin_of_the_base(server: Scripted, make: Make) -> None:
    """They go to the index and to its files, not to another host or port, be it a sibling's."""
    known = site(server)
    async with scripted() as other:
        known = structs.replace(known, siblings=(other.base,))
        client = make(credentials=telling(server))
        for path, place in (("/x", server), ("/deep/y", server), ("/x", other)):
            place.on(path, plain(b"1"))
            await read(client, UpstreamRequest(place.base + path[1:], known))
        assert [TOLD] * 2 == [seen.headers.get("authorization") for seen in server.seen]
        assert [None] == [seen.headers.get("authorization") for seen in other.seen]


async def test_credentials__are_each_sites_own(server: Scripted, make: Make) -> None:
    """A connection that is reused carries the credentials of the present request."""
    server.on("/x", plain(b"1"))
    client = make(credentials=telling(server))
    for mount in ("demo", "open", "demo"):
        await read(client, UpstreamRequest(server.base + "x", structs.replace(site(server), mount=mount)))
    assert [TOLD, None, TOLD] == [seen.headers.get("authorization") for seen in server.seen]
    assert 1 == server.connections


@pytest.mark.parametrize(
    ("mount", "expected"), [("open", NotFound), ("demo", UpstreamDenied)], ids=["stranger", "known"]
)
async def test_credentials__refused(
    server: Scripted, make: Make, seen: Seen, mount: str, expected: type[PullthroughError]
) -> None:
    """A 403 to who showed credentials is a refusal, and no word of what was shown is in it."""
    server.on("/x", plain(b"no", status="403 Forbidden"))
    request = UpstreamRequest(server.base + "x", structs.replace(site(server), mount=mount))
    known = telling(server)
    with pytest.raises(expected) as caught:
        await read(make(credentials=known), request)
    said = f"{caught.value} {request!r} {seen.events} {known!r}"
    assert not [secret for secret in ("s3cret", TOLD.removeprefix("Basic ")) if secret in said]


async def test_redirect__without_location(server: Scripted, make: Make) -> None:
    """A redirect to nowhere is a broken answer."""
    server.on("/x", plain(b"", status="302 Found"))
    with pytest.raises(UpstreamBroken):
        await read(make(), ask(server))


async def test_redirect__from_tls_to_plain(server: Scripted, make: Make) -> None:
    """What came over a trusted connection does not go on over an open one."""
    authority = trustme.CA()
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trusting)
    async with scripted(context) as secure:
        base = f"https://127.0.0.1:{secure.port}/"
        secure.on("/ok", plain(b"safe"))
        secure.on("/x", moved(server.base))
        own = Site("demo", base, "", 600.0)
        client = make(ssl_context=trusting)
        assert await read(client, UpstreamRequest(base + "ok", own)) == b"safe"
        with pytest.raises(UpstreamBroken):
            await read(client, UpstreamRequest(base + "x", own))
        assert server.seen == []


# Addresses


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost.example", "0x7f000001", "127.1", "2130706433", "[::ffff:127.0.0.1]"]
)
async def test_address__private_in_any_form(server: Scripted, make: Make, host: str, seen: Seen) -> None:
    """A page that links to this machine gets nothing from it."""
    client = make(resolver=Fixed("127.0.0.1"))
    with pytest.raises(NotAllowed):
        await read(
            client, UpstreamRequest(f"http://{host}:{server.port}/x", Site("demo", "http://index.example/", "", 600.0))
        )
    assert (server.seen, seen.failures) == ([], [])


async def test_address__name_of_the_settings(server: Scripted, make: Make) -> None:
    """A host that the settings name may be at home."""
    server.on("/x", plain(b"home"))
    client = make(resolver=Fixed("127.0.0.1"))
    base = Site("demo", "http://index.example/", "", 600.0, frozenset({"files.example"}))
    assert await read(client, UpstreamRequest(f"http://files.example:{server.port}/x", base)) == b"home"


async def test_address__name_of_the_settings_that_leads_to_metadata(make: Make) -> None:
    """Not even a name of the settings leads to a metadata service."""
    client = make(resolver=Fixed("169.254.169.254"))
    base = Site("demo", "http://index.example/", "", 600.0)
    with pytest.raises(NotAllowed):
        await read(client, UpstreamRequest("http://index.example/latest/meta-data/", base))


async def test_address__connection_of_another_site(server: Scripted, make: Make) -> None:
    """A site that may not reach an address does not get there over a connection that another site opened."""
    server.on("/x", plain(b"home"))
    client = make(resolver=Fixed("127.0.0.1"))
    url = f"http://corp.example:{server.port}/x"
    assert await read(client, UpstreamRequest(url, site(server, "corp.example"))) == b"home"
    with pytest.raises(NotAllowed):
        await read(client, UpstreamRequest(url, Site("public", "http://index.example/", "", 600.0)))
    assert len(server.seen) == 1


@pytest.mark.parametrize("number", [4, 40, 150])
async def test_name__beside_others_that_hang(
    number: int, server: Scripted, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name service that hangs for names that came with requests does not stop the upstreams of the settings."""
    ended, asked, system = threading.Event(), [], socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any, **more: Any) -> Any:
        if host.endswith(".hangs.invalid"):
            asked.append(host)
            ended.wait()
        return system(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    server.on("/x", plain(b"there"))
    client = make()
    came = Site("apt", "", "", 600.0, named=False)
    urls = [f"http://{one}.hangs.invalid/x" for one in range(number)]
    waiting = [asyncio.create_task(read(client, UpstreamRequest(url, came))) for url in urls]
    while len(asked) < min(number, 96):
        await asyncio.sleep(0)
    assert b"there" == await read(
        client, UpstreamRequest(f"http://localhost:{server.port}/x", site(server, "localhost"))
    )
    assert not any(task.done() for task in waiting)
    ended.set()
    assert {UpstreamUnreachable} == {type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)}


# Failures, retries, back-off


async def test_unreachable__nobody_listens(make: Make, seen: Seen, naps: list[float], clock: HandClock) -> None:
    """A refused connection is tried again with growing pauses, reported each time, and the host is down for a while."""
    url = f"http://127.0.0.1:{free_port()}/"
    client = make(retries=2)
    with pytest.raises(UpstreamUnreachable):
        await read(client, UpstreamRequest(url, Site("demo", url, "", 600.0)))
    assert seen.failures == ["unreachable"] * 3
    assert len(naps) == 2
    assert 0.1 <= naps[0] <= 0.2 <= naps[1] <= 0.4
    assert client.down(url + "any/path")
    clock.seconds += 1.0
    assert not client.down(url)


async def test_unreachable__no_descriptor_left_here(server: Scripted, make: Make) -> None:
    """Where the process may open no more files, that is said, and says nothing of the host."""
    client = make()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = os.dup(0)
    os.close(next_one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, before[1]))
    try:
        with pytest.raises(NoDescriptor, match="ulimit"):
            await read(client, ask(server))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (False, True) == (client.down(server.base, file=True), client.reaches(server.base))


async def test_unreachable__known_to_be_down(make: Make, seen: Seen) -> None:
    """While a host is down it is asked once for each request, and no more."""
    url = f"http://127.0.0.1:{free_port()}/"
    client = make(retries=2)
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable):
            await read(client, UpstreamRequest(url, Site("demo", url, "", 600.0)))
    assert len(seen.failures) == 3 + 1


async def test_down__cleared_by_an_answer(server: Scripted, make: Make) -> None:
    """The first answer says that the host is back."""
    server.on("/x", Line(b"", Then.RESET), Line(b"", Then.RESET), plain(b"back"))
    client = make()
    with pytest.raises(UpstreamUnreachable):
        await read(client, ask(server))
    assert client.down(server.base, file=True)
    assert await read(client, ask(server)) == b"back"
    assert not client.down(server.base, file=True)


@pytest.mark.parametrize("url", ["nonsense", "http://127.1/", ""])
async def test_down__address_that_is_none(make: Make, url: str) -> None:
    """What cannot be asked is not down either."""
    assert not make().down(url)


@pytest.mark.parametrize("status", ["408 Slow", "500 Oops", "502 Bad", "504 Late"])
async def test_retry__transient_status(server: Scripted, make: Make, seen: Seen, status: str) -> None:
    """An upstream that stumbles is asked again at once."""
    server.on("/x", plain(b"sorry", status=status), plain(b"fine"))
    assert await read(make(retries=1), ask(server)) == b"fine"
    assert seen.failures == ["broken"]


async def test_retry__nobody_waits_for_it(server: Scripted, make: Make, naps: list[float]) -> None:
    """A further connection that is refused is not asked for again and again: its host may give one at a time."""
    server.on("/x", plain(b"", status="500 Oops"))
    with pytest.raises(UpstreamBroken):
        await read(make(retries=2), structs.replace(ask(server), bulk=True))
    assert (len(server.seen), naps) == (1, [])


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "404 No", "429 Slow", "501 What", "503 Busy"])
async def test_retry__status_that_stays(server: Scripted, make: Make, naps: list[float], status: str) -> None:
    """Asking again does not help against these, or is what upstream asks us not to do."""
    server.on("/x", plain(b"", status=status))
    with pytest.raises((UpstreamError, NotFound)):
        await read(make(retries=2), ask(server))
    assert (len(server.seen), naps) == (1, [])


async def test_retry__given_up(server: Scripted, make: Make, seen: Seen) -> None:
    """After the last try the failure is the answer."""
    server.on("/x", plain(b"", status="500 Oops"))
    with pytest.raises(UpstreamBroken):
        await read(make(retries=2), ask(server))
    assert (len(server.seen), seen.failures) == (3, ["broken"] * 3)


FAILING = {
    "500": plain(b"", status="500 Oops"),
    "501": plain(b"", status="501 What"),
    "502": plain(b"", status="502 Bad"),
    "504": plain(b"", status="504 Late"),
    "522": plain(b"", status="522 Origin"),
    "503": plain(b"", status="503 Busy"),
    "429": plain(b"", status="429 Slow"),
    "404": plain(b"", status="404 No"),
    "403": plain(b"", status="403 No"),
    "nothing": Line(b"", Then.HOLD),
    "closed": Line(b"", Then.CLOSE),
    "reset": Line(b"", Then.RESET),
    "cut": Line(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then.CLOSE),
    "stalled": Line(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then.HOLD),
}


@pytest.mark.parametrize(
    ("answer", "of_pages", "of_files"),
    [
        ("500", True, True),
        ("501", False, False),
        ("502", True, True),
        ("504", True, True),
        ("522", True, True),
        ("503", True, True),
        ("429", True, True),
        ("404", False, False),
        ("403", False, False),
        ("nothing", True, True),
        ("closed", True, True),
        ("reset", True, True),
        ("cut", True, False),
        ("stalled", True, True),
    ],
)
async def test_down__what_failed(answer: str, of_pages: bool, of_files: bool, server: Scripted, make: Make) -> None:
    """A host that fails at pages is down for pages, at files for files; a lane that is refused says nothing of it."""
    server.on("/x", FAILING[answer])
    found = {}
    for kind, bulk in ((Kind.PAGE, False), (Kind.FILE, False), (Kind.FILE, True)):
        client = make(read_timeout=0.1, retries=1)
        with pytest.raises((UpstreamError, NotFound)):
            await read(client, structs.replace(ask(server), kind=kind, bulk=bulk))
        found[kind, bulk] = client.down(server.base), client.down(server.base, file=True)
    expected = {(Kind.PAGE, False): (of_pages, False), (Kind.FILE, False): (False, of_files)}
    assert expected | {(Kind.FILE, True): (False, False)} == found


@pytest.mark.parametrize("answer", FAILING)
async def test_down__beside_requests_ahead(answer: str, server: Scripted, make: Make) -> None:
    """What fails where requests ahead of clients are under way may have failed for them: the host is not down."""
    server.on("/x", FAILING[answer])
    client = make(read_timeout=0.1, retries=1)
    with pytest.raises((UpstreamError, NotFound)):
        await read(client, structs.replace(ask(server), kind=Kind.PAGE, contended=True))
    assert not client.down(server.base)


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.FILE])
async def test_down__no_connection(kind: Kind, make: Make) -> None:
    """A host that cannot be reached gives neither pages nor files, and bulk does not say it."""
    url = f"http://127.0.0.1:{free_port()}/"
    site = Site("demo", url, "", 600.0)
    client = make()
    with pytest.raises(UpstreamUnreachable):
        await read(client, UpstreamRequest(url, site, kind=kind, bulk=True))
    assert not client.down(url, file=True)
    with pytest.raises(UpstreamUnreachable):
        await read(client, UpstreamRequest(url, site, kind=kind))
    assert client.down(url)
    assert client.down(url, file=True)


async def test_down__a_try_that_went_well(server: Scripted, make: Make) -> None:
    """A failure that a further try mended is none of the host's."""
    server.on("/x", plain(b"", status="500 Oops"), plain(b"fine"))
    client = make(retries=1)
    assert b"fine" == await read(client, structs.replace(ask(server), kind=Kind.PAGE))
    assert not client.down(server.base)


async def test_down__files_do_not_speak_for_pages(server: Scripted, make: Make) -> None:
    """Pages may fail at a host that gives files all the time; the first page that comes says that it is well."""
    server.on("/x", plain(b"", status="500 Oops"), plain(b"fine"))
    client = make()
    with pytest.raises(UpstreamBroken):
        await read(client, structs.replace(ask(server), kind=Kind.PAGE))
    assert b"fine" == await read(client, ask(server))
    assert client.down(server.base)
    assert b"fine" == await read(client, structs.replace(ask(server), kind=Kind.PAGE))
    assert not client.down(server.base)


async def test_down__where_a_redirect_led(server: Scripted, make: Make) -> None:
    """A host that sends everybody on to one that fails gives nothing either."""
    dead = f"http://127.0.0.1:{free_port()}/"
    server.on("/x", moved(dead + "x"))
    client = make()
    known = site(server, hosts=frozenset({"127.0.0.1"}))
    with pytest.raises(UpstreamUnreachable):
        await read(client, UpstreamRequest(server.base + "x", known, kind=Kind.PAGE))
    assert [True, False, True, True] == [
        client.down(url, file=file) for url in (server.base, dead) for file in (False, True)
    ]
    server.on("/x", plain(b"back"))
    assert b"back" == await read(client, UpstreamRequest(server.base + "x", known, kind=Kind.PAGE))
    assert not client.down(server.base)


async def test_throttled__host_is_left_alone(server: Scripted, make: Make, clock: HandClock) -> None:
    """A host that asks for time counts as down for that time."""
    server.on("/x", plain(b"", "Retry-After: 9", status="503 Busy"))
    client = make()
    with pytest.raises(UpstreamThrottled):
        await read(client, ask(server))
    clock.seconds += 8.9
    assert client.down(server.base, file=True)
    clock.seconds += 0.2
    assert not client.down(server.base, file=True)


async def test_timeout__no_head(server: Scripted, make: Make, seen: Seen, naps: list[float]) -> None:
    """An upstream that says nothing is given up after the read limit, not tried again, and is down."""
    server.on("/x", Line(b"", Then.HOLD))
    client = make(read_timeout=0.1, retries=2)
    with pytest.raises(UpstreamTimeout):
        await read(client, ask(server))
    assert (seen.failures, naps) == (["timeout"], [])
    assert client.down(server.base, file=True)


async def test_timeout__head_that_drips(server: Scripted, make: Make) -> None:
    """Interim answers without end are no head: the limits' sum bounds the wait for one."""

    async def hints(writer: asyncio.StreamWriter) -> Then:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    server.on("/x", hints)
    with pytest.raises(UpstreamTimeout):
        await read(make(connect_timeout=0.2, read_timeout=0.2), ask(server))


async def test_timeout__body_that_stalls(server: Scripted, make: Make, seen: Seen) -> None:
    """A body that stops coming is given up after the read limit; what came was reported."""
    server.on("/x", Line(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then.HOLD))
    client = make(read_timeout=0.1)
    with pytest.raises(UpstreamTimeout):
        await read(client, ask(server))
    assert (seen.fetched, seen.failures) == (4, ["timeout"])
    assert client.down(server.base, file=True)


async def test_slow__but_alive(server: Scripted, make: Make) -> None:
    """No limit on the whole: a body may take many times the read limit as long as it comes."""

    async def slow(writer: asyncio.StreamWriter) -> Then:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.1)
            writer.write(b".")
        return Then.KEEP

    server.on("/x", slow)
    assert await read(make(connect_timeout=0.1, read_timeout=1.0), ask(server)) == b"." * 12


async def test_tls__certificate_that_is_not_trusted(make: Make, naps: list[float]) -> None:
    """An unknown authority is no connection, and not tried again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with scripted(context) as secure:
        base = f"https://127.0.0.1:{secure.port}/"
        with pytest.raises(UpstreamUnreachable, match="SSL_CERT_FILE"):
            await read(make(retries=2), UpstreamRequest(base, Site("demo", base, "", 600.0)))
    assert naps == []


async def test_tls__certificate_of_another_name(make: Make) -> None:
    """Of one that is trusted it is said what else is wrong with it."""
    authority = trustme.CA()
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("other.invalid").configure_cert(context)
    authority.configure_trust(trusting)
    async with scripted(context) as secure:
        base = f"https://127.0.0.1:{secure.port}/"
        with pytest.raises(UpstreamUnreachable, match="for other host names"):
            await read(make(ssl_context=trusting), UpstreamRequest(base, Site("demo", base, "", 600.0)))


async def test_tls__where_nobody_speaks_it(make: Make) -> None:
    """A port of plain http at an https address has no certificate that an authority could help with."""
    async with plain_http() as port:
        base = f"https://127.0.0.1:{port}/"
        with pytest.raises(UpstreamUnreachable, match="does not speak TLS"):
            await read(make(), UpstreamRequest(base, Site("demo", base, "", 600.0)))


async def test_tls__left_in_the_middle(make: Make) -> None:
    """A TLS connection that is left is gone at once, without waiting for the farewell of a peer that is deaf."""
    authority = trustme.CA()
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trusting)
    over = asyncio.Event()

    async def deaf(writer: asyncio.StreamWriter) -> Then:
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await over.wait()
        return Then.CLOSE

    async with scripted(context) as secure:
        base = f"https://127.0.0.1:{secure.port}/"
        secure.on("/x", deaf)
        async with make(ssl_context=trusting).get(UpstreamRequest(base + "x", Site("demo", base, "", 600.0))) as reply:
            await anext(aiter(reply.chunks()))
            assert isinstance(reply, AiohttpReply)
            connection = reply._response.connection
            assert connection is not None
            assert connection.transport is not None
            transport_socket = connection.transport.get_extra_info("socket")
        for _ in range(3):  # turns of the loop
            await asyncio.sleep(0)
        assert transport_socket.fileno() == -1
        over.set()


async def test_name__unknown(make: Make) -> None:
    """A name that cannot be resolved is no connection."""

    class Nothing(Fixed):
        async def resolve(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(UpstreamUnreachable, match="name"):
        await read(
            make(resolver=Nothing()),
            UpstreamRequest("http://gone.example/", Site("demo", "http://gone.example/", "", 1.0)),
        )


async def test_asked__each_request_on_the_wire(server: Scripted, make: Make, seen: Seen) -> None:
    """A redirect and what it leads to are two; a failed connection has no status; a condition is told."""
    server.on("/x", moved("/y"))
    server.on("/y", plain(b"body"))
    await read(make(), ask(server, headers={"If-None-Match": '"1"'}))
    gone = Site("demo", f"http://127.0.0.1:{free_port()}/", "", 600.0)
    with pytest.raises(UpstreamUnreachable):
        await read(make(), UpstreamRequest(gone.base + "x", gone, {}))

    assert [(302, True), (200, True), (0, False)] == [(one.status, one.conditional) for one in seen.asked]
    assert {"demo"} == {one.upstream for one in seen.asked}
