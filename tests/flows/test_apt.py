"""apt archives through the whole program: the forms of addresses, packages, ranges, conditions, and what is refused."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.answers import Request
from tests.archive import Archive, deb
from tests.bodies import Noise, sha256
from tests.conftest import MakeProxy
from tests.faults import flipped, hold_head
from tests.flows.apting import client, start, update
from tests.flows.asking import check_bytes, content, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running

BIG = Noise(3_000_000)
POOL = "/debian/pool/main/d/demo/demo_1.0_amd64.deb"


@pytest.fixture
def archive(origin: Origin) -> Archive:
    """An archive with a package."""
    archive = Archive(origin)
    archive.publish(deb("demo", BIG), deb("lib~x+y", version="2:1.0"))
    return archive


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """The program, to which the settings name the archive's host."""
    return await start(make_proxy, origin)


async def test_package__first_and_again(
    archive: Archive, running: Running, http: aiohttp.ClientSession, metric: Callable[..., float]
) -> None:
    """A package that an index lists is fetched once; both answers are whole, with what upstream said of it."""
    url = running.url + archive.url(POOL)
    async with client(running) as apt:
        await update(apt, archive)

    first = await get(http, url)
    await until_idle(running)
    again = await get(http, url)

    assert (200, "miss", sha256(BIG)) == (first.status, first.source, first.sha256)
    assert (200, "hit", sha256(BIG)) == (again.status, again.source, again.sha256)
    assert BIG.size == archive.origin.sent_body_bytes(POOL)
    for got in (first, again):
        assert str(BIG.size) == got.headers["content-length"]
        assert "Wed, 01 Jan 2025 00:00:00 GMT" == got.headers["last-modified"]
        assert "content-encoding" not in got.headers
        assert "max-age=365000000, immutable, public" == got.headers["cache-control"]
    assert BIG.size < metric(running, "pullthrough_fetched_bytes_total", upstream="apt") < BIG.size + 10_000


async def test_forms__share_what_is_kept(archive: Archive, running: Running, http: aiohttp.ClientSession) -> None:
    """Prefix form, with other spellings of the path, and proxy form are one address."""
    async with client(running) as apt:
        await update(apt, archive)
    await get(http, running.url + archive.url(POOL))
    await until_idle(running)
    host = f"{archive.origin.host}:{archive.origin.port}"
    own = running.url.removeprefix("http://")
    spellings = [
        f"/{host}/debian/./pool//main/d/demo/demo_1.0_amd64.deb",
        f"/{host}/debian/pool/main/d/demo/demo%5f1.0_amd64.deb",
        f"http://{host}{POOL}",
        f"http://{own}/{host}{POOL}",
    ]

    async with client(running) as apt:
        answers = [await apt.get(target) for target in spellings]

    assert [200] * 4 == [answer.status for answer in answers]
    assert BIG.size == archive.origin.sent_body_bytes(POOL)


async def test_https__in_place_of_the_host(secure_origin: Origin, make_proxy: MakeProxy) -> None:
    """HTTPS before the host has the archive fetched by https, in either form, and its certificate checked."""
    running = await start(make_proxy, secure_origin)
    host = f"{secure_origin.host}:{secure_origin.port}"

    async with client(running) as apt:
        for front in ("/HTTPS///", "/HTTPS/", "http://HTTPS///"):
            answer = await apt.get(f"{front}{host}{POOL}")
            assert (502, True) == (answer.status, b"certificate" in answer.body)
            # The library reads which authorities are trusted when it is imported: this one is not.


async def test_package__resumed(archive: Archive, running: Running, http: aiohttp.ClientSession) -> None:
    """apt goes on by date: a part if it is the same file, the whole if it is not; 416 behind the end."""
    url = running.url + archive.url(POOL)
    first = await get(http, url)
    await until_kept(http, url)
    date = first.headers["last-modified"]
    cold = url.replace("demo_1.0", "cold_1.0")
    archive.origin.file(POOL.replace("demo_1.0", "cold_1.0"), BIG)

    answers = [
        await get(http, url, range="bytes=2999000-", if_range=date),
        await get(http, cold, range="bytes=2999000-", if_range=date),
        await get(http, url, range="bytes=2999000-", if_range="Thu, 02 Jan 2025 00:00:00 GMT"),
        await get(http, url, range="bytes=3000000-", if_range=date),
    ]

    assert [206, 206, 200, 416] == [answer.status for answer in answers]
    assert [BIG.read(2_999_000, BIG.size)] * 2 == [answer.body for answer in answers[:2]]
    assert ["bytes 2999000-2999999/3000000"] * 2 == [answer.headers["content-range"] for answer in answers[:2]]
    assert sha256(BIG) == answers[2].sha256
    assert "bytes */3000000" == answers[3].headers["content-range"]


async def test_package__not_modified(archive: Archive, running: Running, http: aiohttp.ClientSession) -> None:
    """The very date is answered 304, any other with the file."""
    url = running.url + archive.url(POOL)
    await get(http, url)
    await until_kept(http, url)

    dates = ["Wed, 01 Jan 2025 00:00:00 GMT", "Wed, 01 Jan 2025 00:00:01 GMT", "Tue, 31 Dec 2024 23:59:59 GMT", "now"]
    answers = [await get(http, url, if_modified_since=date) for date in dates]

    assert [304, 200, 200, 200] == [answer.status for answer in answers]


async def test_package__date_that_apt_cannot_read(
    archive: Archive, running: Running, http: aiohttp.ClientSession
) -> None:
    """A Last-Modified of another form is left out: apt would fail on it."""
    archive.origin.file(POOL, BIG, last_modified="yesterday")

    answer = await get(http, running.url + archive.url(POOL))

    assert (200, sha256(BIG)) == (answer.status, answer.sha256)
    assert "last-modified" not in answer.headers


async def test_package__checked_by_the_index(
    archive: Archive, running: Running, http: aiohttp.ClientSession, metric: Callable[..., float]
) -> None:
    """Once the index is here, wrong bytes of a package never arrive whole, and the next try is right."""
    async with client(running) as apt:
        await apt.get(archive.url("/debian/dists/stable/InRelease"))
        await apt.get(archive.url("/debian/dists/stable/main/binary-amd64/Packages.gz"))
    await until_idle(running)
    archive.origin.misbehave(POOL, flipped(BIG.size - 5))

    wrong = await get(http, running.url + archive.url(POOL))
    await until_idle(running)

    assert (200, True) == (wrong.status, wrong.broken)
    assert len(wrong.body) < BIG.size


async def test_head__of_everything(archive: Archive, running: Running, http: aiohttp.ClientSession) -> None:
    """HEAD says what GET would, and fetches no package."""
    for path in (POOL, "/debian/dists/stable/InRelease", "/debian/dists/stable/main/binary-amd64/Packages.gz"):
        head = await get(http, running.url + archive.url(path), "HEAD")
        whole = await get(http, running.url + archive.url(path))
        assert (200, head.headers["content-length"]) == (head.status, whole.headers["content-length"])
        assert b"" == head.body


async def test_pipelining__ten_in_order(archive: Archive, running: Running) -> None:
    """Ten requests at once are answered in their order, on a connection that stays open; an error keeps its place."""
    names = [f"p{number}" for number in range(9)]
    archive.publish(*(deb(name) for name in names))
    targets = [archive.url(f"/debian/pool/main/d/demo/{name}_1.0_amd64.deb") for name in names]
    targets.insert(4, archive.url("/debian/pool/main/d/demo/missing_1.0_amd64.deb"))

    async with client(running) as apt:
        for _ in range(2):
            apt.send(targets, "Accept: text/*")
            answers = [await apt.receive() for _ in targets]

            assert [404 if "missing" in target else 200 for target in targets] == [one.status for one in answers]
            assert answers[4].body
            assert [f"{name} 1.0\n".encode() * 100 for name in names] == [
                answer.body for answer in answers if answer.status == 200
            ]
            assert [] == [answer.headers for answer in answers if "connection" in answer.headers]


async def test_accept__of_apt(archive: Archive, running: Running, http: aiohttp.ClientSession) -> None:
    """`Accept: text/*`, which apt sends for files without an ending, is never answered 406, nor is anything packed."""
    answer = await get(
        http,
        running.url + archive.url("/debian/dists/stable/main/binary-amd64/Packages"),
        accept="text/*",
        accept_encoding="gzip",
    )

    assert 200 == answer.status
    assert "content-encoding" not in answer.headers
    assert answer.body.startswith(b"Package: demo\n")


async def test_herd__one_request_upstream(archive: Archive, running: Running, http: aiohttp.ClientSession) -> None:
    """Many clients that ask for a cold package share one download, and the figures add up."""
    gate = Gate()
    archive.origin.misbehave(POOL, hold_head(gate), times=1)
    asked = [asyncio.create_task(get(http, running.url + archive.url(POOL))) for _ in range(20)]
    await gate.until_arrived(1)
    gate.open()

    answers = await asyncio.gather(*asked)

    assert {(200, sha256(BIG))} == {(answer.status, answer.sha256) for answer in answers}
    sources = await check_bytes(running, archive.origin, 20 * BIG.size, 20)
    assert BIG.size == sources["upstream"]


@pytest.mark.parametrize(
    "path",
    [
        "/debian/dists/stable/main/installer-amd64/current/images/netboot/mini.iso",
        "/debian/dists/stable/main/Contents-amd64.gz",
        "/keys/archive.asc",
        "/changelogs/main/d/demo/demo_1.0_changelog",
        "/meta-release-lts",
    ],
)
async def test_document__revalidated(origin: Origin, running: Running, http: aiohttp.ClientSession, path: str) -> None:
    """What changes under its name is asked for anew, not fetched anew; and served when upstream is gone."""
    url = f"{running.url}/{origin.host}:{origin.port}{path}"
    origin.file(path, b"one", etag=None)
    first = await get(http, url)
    await until_idle(running)
    again = await get(http, url)
    origin.file(path, b"two", etag=None, last_modified="Thu, 02 Jan 2025 00:00:00 GMT")
    changed = await get(http, url)
    await until_idle(running)
    await origin.stop()
    stale = await get(http, url)

    assert [b"one", b"one", b"two", b"two"] == [answer.body for answer in (first, again, changed, stale)]
    assert ["miss", "revalidated", "miss", "stale"] == [one.source for one in (first, again, changed, stale)]
    assert "Thu, 02 Jan 2025 00:00:00 GMT" == stale.headers["last-modified"]


async def test_document__larger_than_pages(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A document is stored whatever its size: it is never whole in memory."""
    running = await make_proxy(
        "https://index.example/", apt={"hosts": {f"{origin.host}:{origin.port}"}}, page_limit=1000
    )
    path = "/debian/dists/stable/main/installer-amd64/current/images/boot.img.gz"
    origin.file(path, BIG)

    url = f"{running.url}/{origin.host}:{origin.port}{path}"
    first = await get(http, url)
    await until_idle(running)
    again = await get(http, url)

    assert [(200, sha256(BIG))] * 2 == [(answer.status, answer.sha256) for answer in (first, again)]
    assert ("miss", "hit", BIG.size) == (first.source, again.source, origin.sent_body_bytes(path))


async def test_document__packed_by_its_name(origin: Origin, running: Running, http: aiohttp.ClientSession) -> None:
    """Servers that call the packing of a file a coding are not believed: the file is passed on as it is."""
    path = "/debian/dists/stable/main/installer-amd64/current/images/linux.gz"
    body = gzip.compress(b"kernel")
    origin.file(path, body, headers=[("Content-Encoding", "x-gzip")])

    answer = await get(http, f"{running.url}/{origin.host}:{origin.port}{path}")

    assert (body, "-") == (answer.body, answer.headers.get("content-encoding", "-"))


@pytest.mark.parametrize("field", ["gzip", "x-gzip", "identity, GZIP"])
async def test_document__coded(origin: Origin, running: Running, http: aiohttp.ClientSession, field: str) -> None:
    """A key that comes coded, though identity was asked for, is decoded before it is served."""
    path = "/debian/archive.asc"
    key = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n" * 50
    origin.file(path, gzip.compress(key), headers=[("Content-Encoding", field)])
    url = f"{running.url}/{origin.host}:{origin.port}{path}"

    answers = [await get(http, url) for _ in range(2)]

    assert [(200, key, "-")] * 2 == [
        (answer.status, answer.body, answer.headers.get("content-encoding", "-")) for answer in answers
    ]


async def test_release__coded(archive: Archive, running: Running) -> None:
    """A Release file that comes coded is decoded, and its index is the one that it lists."""
    path = archive.folder + "InRelease"
    plain = archive.origin._answer(Request("GET", path, {}, 0.0)).body
    archive.origin.file(path, gzip.compress(content(plain)), headers=[("Content-Encoding", "gzip")])
    async with client(running) as apt:
        inrelease, index, same = await update(apt, archive)

    assert (200, content(plain), True) == (inrelease.status, inrelease.body, same)
    assert (index is not None, "-") == (True, inrelease.headers.get("content-encoding", "-"))


async def test_pipelining__upstream_is_asked_for_all(archive: Archive, running: Running) -> None:
    """Downloads of requests that wait for their turn begin at once; the figures say that they came from upstream."""
    names = [f"p{number}" for number in range(10)]
    archive.publish(*(deb(name) for name in names))
    paths = [f"/debian/pool/main/d/demo/{name}_1.0_amd64.deb" for name in names]
    gate = Gate()
    for path in paths:
        archive.origin.misbehave(path, hold_head(gate))

    async with client(running) as apt:
        apt.send([archive.url(path) for path in paths])
        await gate.until_arrived(10)
        gate.open()
        answers = [await apt.receive() for _ in paths]

    assert [f"{name} 1.0\n".encode() * 100 for name in names] == [answer.body for answer in answers]
    assert {"miss"} == {answer.headers["x-cache"] for answer in answers}
    received = sum(len(answer.body) for answer in answers)
    assert received == (await check_bytes(running, archive.origin, received, 10))["upstream"]
