"""What upstream can do wrong to an apt client, and what somebody else can try with an open cache of archives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.cache.flight import HELD_BACK
from tests.archive import Archive, deb
from tests.bodies import Noise, sha256
from tests.conftest import MakeProxy
from tests.exchange import send
from tests.faults import Fault, captive_portal, cut, flipped, hang_up, other_body, redirect, shorter, status
from tests.flows.apting import client, start
from tests.flows.asking import SteppedClock, get, until_idle
from tests.flows.conftest import MakeClocked
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running

BIG = Noise(300_000)
POOL = "/debian/pool/main/d/demo/demo_1.0_amd64.deb"
INDEX = "/debian/dists/stable/main/binary-amd64/Packages.gz"
IN = "/debian/dists/stable/InRelease"


@pytest.fixture
def archive(origin: Origin) -> Archive:
    """An archive with a package."""
    archive = Archive(origin)
    archive.publish(deb("demo", BIG))
    return archive


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """The program, to which the settings name the archive's host."""
    return await start(make_proxy, origin)


@pytest.mark.parametrize(
    ("fault", "of_package", "of_index"),
    [
        # An index that is another one than the Release file lists may be of another state.
        (captive_portal(), 502, 503),
        (status(404), 404, 404),
        (status(403), 404, 404),
        (status(500), 502, 502),
        (status(503, retry_after="7"), 503, 503),
        (status(429), 503, 503),
        (hang_up(), 502, 502),
        (shorter(10), 502, 503),
        (other_body(b""), 502, 503),
    ],
    ids=["portal", "404", "403", "500", "503", "429", "hang-up", "shorter", "empty"],
)
@pytest.mark.parametrize("path", [POOL, INDEX], ids=["package", "index"])
async def test_file__fault_before_the_first_byte(
    archive: Archive,
    make_clocked: MakeClocked,
    clock: SteppedClock,
    path: str,
    fault: Fault,
    of_package: int,
    of_index: int,
) -> None:
    """An error ends apt's update, and lets it retry for a package; nothing is stored, and a later answer is right."""
    running = await start(make_clocked, archive.origin)
    state = archive.state(deb("demo", BIG))
    right = {POOL: BIG.read(0, BIG.size), INDEX: state.indexes["main/binary-amd64/Packages.gz"]}

    async with client(running) as apt:  # what the index says is known
        await apt.get(archive.url(IN))
        await apt.get(archive.url(INDEX.replace("Packages.gz", "Packages")))
        await until_idle(running)
        for one in (path, *(archive.folder + hashed for hashed in state.hashed)):
            archive.origin.misbehave(one, fault)
        wrong = await apt.get(archive.url(path))
        await until_idle(running)
        archive.origin.behave()
        clock.advance(120)
        then = await apt.get(archive.url(path))

    assert (of_index if path == INDEX else of_package) == wrong.status
    assert (path == POOL or wrong.status == 404) == bool(wrong.body)
    assert wrong.headers["x-error"] in wrong.body.decode() or not wrong.body
    assert (200, right[path]) == (then.status, then.body)


@pytest.mark.parametrize(
    ("fault", "times", "broken"),
    [(cut(100), 1, False), (flipped(5), None, True), (flipped(299_999), None, True)],
    ids=["cut", "flipped", "flipped-end"],
)
async def test_package__fault_in_the_middle(
    archive: Archive, running: Running, http: aiohttp.ClientSession, fault: Fault, times: int | None, broken: bool
) -> None:
    """What is cut is made good before the client sees it; a body with wrong bytes never ends as if it were whole."""
    async with client(running) as apt:
        await apt.get(archive.url(IN))
        await apt.get(archive.url(INDEX))
    await until_idle(running)
    archive.origin.misbehave(POOL, fault, times=times)

    got = await get(http, running.url + archive.url(POOL))
    await until_idle(running)

    assert (200, broken, not broken) == (got.status, got.broken, got.sha256 == sha256(BIG))
    assert (BIG.size - HELD_BACK if broken else BIG.size) == len(got.body)


async def test_pipelining__one_breaks(archive: Archive, running: Running) -> None:
    """An answer that cannot be had keeps its place among ten."""
    names = [f"p{number}" for number in range(10)]
    archive.publish(*(deb(name) for name in names))
    paths = [f"/debian/pool/main/d/demo/{name}_1.0_amd64.deb" for name in names]
    archive.origin.misbehave(paths[5], status(503, retry_after="1"))

    async with client(running) as apt:
        apt.send([archive.url(path) for path in paths])
        answers = [await apt.receive() for _ in paths]

    assert [200] * 5 + [503] + [200] * 4 == [answer.status for answer in answers]
    assert [f"{name} 1.0\n".encode() * 100 for name in names if name != "p5"] == [
        answer.body for answer in answers if answer.status == 200
    ]


async def test_redirect__to_another_host(
    archive: Archive, make_proxy: MakeProxy, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A mirror redirector is followed; the file is checked, and stored for the address that was asked only."""
    running = await start(make_proxy, archive.origin, other_origin)
    other_origin.file("/mirror.deb", BIG)
    archive.origin.misbehave(POOL, redirect(f"{other_origin.url}/mirror.deb"))

    got = await get(http, running.url + archive.url(POOL))
    await until_idle(running)
    again = await get(http, running.url + archive.url(POOL))
    other = await get(http, f"{running.url}/{other_origin.host}:{other_origin.port}/mirror.deb", "HEAD")

    assert [(200, sha256(BIG))] * 2 == [(one.status, one.sha256) for one in (got, again)]
    assert ("revalidated", "miss") == (again.source, other.source)


async def test_redirect__to_a_private_address(
    archive: Archive, running: Running, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """An archive cannot send us into the network round the cache."""
    archive.origin.misbehave(POOL, redirect(f"{other_origin.url}/secret.deb"))

    got = await get(http, running.url + archive.url(POOL))

    assert 403 == got.status
    assert [] == other_origin.requests


# Attacks


@pytest.mark.parametrize(
    "target",
    [
        "/127.0.0.1/debian/pool/a_1_all.deb",
        "/10.0.0.1/debian/pool/a_1_all.deb",
        "/169.254.169.254/dists/stable/InRelease",
        "/[::1]/debian/pool/a_1_all.deb",
        "/[::ffff:127.0.0.1]/debian/pool/a_1_all.deb",
        "/[fe80::1]/debian/pool/a_1_all.deb",
        "/2130706433./debian/pool/a_1_all.deb",
        "/127.1/debian/pool/a_1_all.deb",
        "/HTTPS///127.0.0.1/debian/pool/a_1_all.deb",
        "http://127.0.0.1/debian/pool/a_1_all.deb",
        "http://localhost/debian/pool/a_1_all.deb",
        "http://HTTPS///localhost/debian/pool/a_1_all.deb",
    ],
)
async def test_open_list__private_address(make_proxy: MakeProxy, http: aiohttp.ClientSession, target: str) -> None:
    """Without a list of hosts any public archive is served, and nothing at a private address, whatever its name."""
    running = await make_proxy("https://index.example/")

    async with client(running) as apt:
        answer = await apt.get(target)

    assert (403, True) == (answer.status, bool(answer.body))


async def test_open_list__name_of_a_private_address(
    archive: Archive, make_proxy: MakeProxy, http: aiohttp.ClientSession
) -> None:
    """A name that leads to a private address is refused where it is dialled; nothing arrives there."""
    running = await make_proxy("https://index.example/")

    for path in (POOL, IN, INDEX, "/debian/dists/stable/x"):
        async with client(running) as apt:
            answer = await apt.get(f"http://localhost{path}")
        assert 403 == answer.status
    assert [] == archive.origin.requests


@pytest.mark.parametrize("port", [22, 25, 8080, 6379])
async def test_other_ports(make_proxy: MakeProxy, port: int) -> None:
    """Only the ports of http and https are asked, unless the settings name another one; the answer says so."""
    running = await make_proxy("https://index.example/")

    async with client(running) as apt:
        answers = [
            await apt.get(f"{front}deb.example:{port}/debian/pool/a_1_all.deb")
            for front in ("/", "http://", "/HTTPS///")
        ]

    assert [403] * 3 == [answer.status for answer in answers]
    assert all(b"apt.hosts" in answer.body for answer in answers)


async def test_closed_list__other_host(running: Running) -> None:
    """With a list, a host that is not in it is not asked; the answer names the setting."""
    async with client(running) as apt:
        answer = await apt.get("/deb.example/debian/pool/a_1_all.deb")

    assert (403, True) == (answer.status, b"apt.hosts" in answer.body)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/index.html", "/debian/", "/debian/dists/", "/a.tar.gz", "/.git/config",
        "/latest/meta-data", "/debian/pool/main/index.html", "/debian/dists/stable/by-hash/SHA256/abc", "/secret.iso",
    ],
)  # fmt: skip
async def test_other_paths(archive: Archive, running: Running, path: str) -> None:
    """What is not a file of an archive is not asked for; the answer names the setting that opens more."""
    async with client(running) as apt:
        answer = await apt.get(archive.url(path))

    assert (403, True) == (answer.status, b"apt.paths" in answer.body)
    assert [] == archive.origin.requests


async def test_query__is_none_of_an_archive(archive: Archive, running: Running) -> None:
    """An address with a query is malformed: archives have plain paths."""
    async with client(running) as apt:
        answer = await apt.get(archive.url("/admin?x=1"))

    assert 400 == answer.status
    assert [] == archive.origin.requests


async def test_other_paths__opened(archive: Archive, make_proxy: MakeProxy) -> None:
    """A pattern of the settings opens paths that apt does not ask for."""
    running = await start(make_proxy, archive.origin, paths={"isos/*.iso"})
    archive.origin.file("/isos/a.iso", BIG)

    async with client(running) as apt:
        answers = [await apt.get(archive.url(path)) for path in ("/isos/a.iso", "/isos/a.txt")]

    assert [200, 403] == [answer.status for answer in answers]


@pytest.mark.parametrize(
    "target",
    [
        "/deb.example/debian/../pool/a_1_all.deb",
        "/deb.example/debian/%2e%2e/a_1_all.deb",
        "/deb.example/debian%2f..%2fa_1_all.deb",
        "/deb.example/debian/pool/a%00_1_all.deb",
        "/deb.example/debian/pool/a%0d%0aX-Y:1_1_all.deb",
        "/deb.example/debian/pool\\a_1_all.deb",
        "/deb.example/debian/pool/a%5c_1_all.deb",
        "/deb.example/debian/pool/a%zz_1_all.deb",
        "/deb.example/debian/pool/a%ff_1_all.deb",
        "/user:password@deb.example/debian/pool/a_1_all.deb",
        "/deb.example:0/debian/pool/a_1_all.deb",
        "/deb.example:99999/debian/pool/a_1_all.deb",
        "/deb.example:443/debian/pool/a_1_all.deb",
        "/deb..example/debian/pool/a_1_all.deb",
        "/-deb.example/debian/pool/a_1_all.deb",
        "/deb.example/debian/pool/a_1_all.deb?x=1",
        "/deb.example/debian/pool/" + "a" * 256 + "_1_all.deb",
        "/deb.example" + "/a" * 1100 + "_1_all.deb",
        "/HTTPS/",
        "/HTTPS///",
        "/[::1/debian/pool/a_1_all.deb",
        "/[abc]/debian/pool/a_1_all.deb",
        "http:///debian/pool/a_1_all.deb",
    ],
)
async def test_malformed(make_proxy: MakeProxy, target: str) -> None:
    """What is malformed is refused before anybody is asked, and nothing of it is repeated."""
    running = await make_proxy("https://index.example/")

    answer = await send(
        running.url, f"GET {target} HTTP/1.1\r\nHost: cache\r\nConnection: close\r\n\r\n".encode("latin-1")
    )

    assert "400" == answer.status
    assert b"password" not in answer.rest
    assert b"deb.example" not in answer.rest


async def test_host_header__means_nothing(archive: Archive, running: Running, metric: Callable[..., float]) -> None:
    """The key is made of the address alone: another Host, and headers that mislead other caches, change nothing."""
    async with client(running) as apt:
        first = await apt.get(archive.url(POOL))
        await until_idle(running)
        again = await apt.get(archive.url(POOL), "X-Forwarded-Host: evil.example", "X-Original-URL: /other")

    assert (200, 200, "revalidated") == (first.status, again.status, again.headers["x-cache"])
    assert first.body == again.body


@pytest.mark.parametrize(
    "path",
    [IN, "/debian/dists/stable/main/i18n/Translation-de", f"/debian/dists/stable/main/by-hash/SHA256/{'0' * 64}"],
)
async def test_error__ends_an_update(archive: Archive, make_proxy: MakeProxy, path: str) -> None:
    """A new machine must not go on without lists; one that has an older copy does, as without the cache."""
    running = await start(make_proxy, archive.origin)
    archive.origin.misbehave(path, status(503, retry_after="7"))

    async with client(running) as apt:
        new = await apt.get(archive.url(path))
        older = await apt.get(archive.url(path), "If-Modified-Since: Wed, 01 Jan 2025 00:00:00 GMT")

    assert (503, "7", b"") == (new.status, new.headers["retry-after"], new.body)
    assert (503, new.headers["x-error"]) == (older.status, older.body.decode().strip())


async def test_error__shown_by_apt(archive: Archive, running: Running, http: aiohttp.ClientSession) -> None:
    """apt shows the reason phrase of a status line, and nothing else: it says what to do."""
    url = running.url + archive.url("/debian/any.txt")

    async with http.get(url) as answer:
        assert (403, True) == (answer.status, "apt.paths" in (answer.reason or ""))


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/https://deb.example/debian/dists/stable/InRelease", "400", "/HTTPS///<host>/<path>"),
        ("http://https://deb.example/debian/dists/stable/InRelease", "400", "/HTTPS///<host>/<path>"),
        ("/HTTPS///me:s3cret@deb.example/debian/dists/stable/InRelease", "400", "auth.conf"),
        ("/debian/dists/stable/InRelease", "404", "/<host>/<path>"),
        ("/deb.example/debian/../InRelease", "400", "two dots"),
        ("/deb.example/debian/InRelease#x", "400", "number sign"),
    ],
)
async def test_mistyped__shown_by_apt(make_proxy: MakeProxy, target: str, status: str, words: str) -> None:
    """Of a source that names no archive, apt shows what is wrong with it."""
    running = await make_proxy("https://index.example/")

    answer = await send(running.url, f"GET {target} HTTP/1.1\r\nHost: cache\r\nConnection: close\r\n\r\n".encode())

    assert status == answer.status
    assert words in answer.head.splitlines()[0]


async def test_missing__nothing_is_remembered(archive: Archive, make_proxy: MakeProxy) -> None:
    """With a window of 0 what upstream did not have is asked again by the next client."""
    running = await start(make_proxy, archive.origin)
    paths = [IN, POOL, "/debian/archive.key", "/debian/dists/stable/main/other.txt"]
    for path in paths[2:]:
        archive.origin.file(path, "later")
    for path in paths:
        archive.origin.misbehave(path, status(404))
    async with client(running) as apt:
        first = [(await apt.get(archive.url(path))).status for path in paths]
        archive.origin.behave()
        then = [(await apt.get(archive.url(path))).status for path in paths]

    assert ([404] * 4, [200] * 4) == (first, then)


async def test_error__passes_for_an_expired_suite(
    origin: Origin, make_clocked: MakeClocked, clock: SteppedClock
) -> None:
    """A suite past its Valid-Until is asked for again like one that is not kept, also within the window."""
    hosts = {f"{origin.host}:{origin.port}"}
    running = await make_clocked("https://index.example/", apt={"hosts": hosts, "window": 600}, fetch={"retries": 1})
    archive = Archive(origin, valid_until=clock.now() + 3600)
    archive.publish(deb("demo", BIG))

    async with client(running) as apt:
        await apt.get(archive.url(IN))
        clock.advance(3700)
        archive.valid_until = clock.now() + 3600
        after = archive.publish(deb("demo", BIG), modified=clock.now() - 90)
        origin.misbehave(IN, status(503), times=1)
        got = await apt.get(archive.url(IN))

    assert (200, after.inrelease) == (got.status, got.body)


async def test_error__passes(archive: Archive, make_proxy: MakeProxy) -> None:
    """What fails for a moment is asked for again by the cache, so that apt has no need to."""
    hosts = {f"{archive.origin.host}:{archive.origin.port}"}
    running = await make_proxy("https://index.example/", apt={"hosts": hosts, "window": 0}, fetch={"retries": 1})
    archive.origin.misbehave(IN, status(503), times=1)

    async with client(running) as apt:
        got = await apt.get(archive.url(IN))

    assert (200, 2) == (got.status, archive.origin.count(IN))
