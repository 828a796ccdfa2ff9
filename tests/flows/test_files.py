"""Files through the whole program: fetched once, checked, kept, and served to everybody after that."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from proxy.config.upstreams import UpstreamSettings
from tests.bodies import Flipped, Joined, Noise, Plain, pieces
from tests.conftest import MakeProxy
from tests.faults import chunked, hold_body, until_close
from tests.flows.asking import SEGMENT, SMALL, Got, address, check_bytes, content, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import Link
from tests.storage.disk import digests
from tests.system import peak_memory
from tests.wheels import sdist, wheel

PATH = "/packages/"


async def test_file__cold_then_kept(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The first client pulls the file through, the second gets it from the disk; both get every byte."""
    package = wheel(padding=5 * SEGMENT)
    origin.publish(package)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first = await get(http, url)
    await until_kept(http, url)
    second = await get(http, url)

    assert [(200, package.sha256, "miss"), (200, package.sha256, "hit")] == [
        (got.status, got.sha256, got.source) for got in (first, second)
    ]
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


@pytest.mark.parametrize(
    ("size", "listed"),
    [(0, True), *itertools.product((1, 200, 65_535, 65_536, 65_537, 131_072, 400_000), (True, False))],
)
async def test_file__sizes(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, size: int, listed: bool
) -> None:
    """Every size round the edges of segments and of the part that is held back arrives, cold and kept."""
    body = Noise(size, 3)
    origin.file("/packages/demo-1.0.tar.gz", body)
    link = Link(
        "demo-1.0.tar.gz", "/packages/demo-1.0.tar.gz", sha256=hashlib.sha256(content(body)).hexdigest(), size=size
    )
    origin.page(
        "/simple/demo/", [link] if listed else [Link("demo-1.0.tar.gz", "/packages/demo-1.0.tar.gz")], fmt="json"
    )
    running = await make_proxy(origin.url, fetch=SMALL)
    url = f"{running.url}/pypi/packages/demo-1.0.tar.gz"

    first = await get(http, url)
    await until_kept(http, url)
    second = await get(http, url)

    assert [(200, content(body), str(size))] * 2 == [
        (got.status, got.body, got.headers["content-length"]) for got in (first, second)
    ]
    assert size == origin.sent_body_bytes("/packages/demo-1.0.tar.gz")


async def test_file__fifty_clients_cold(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Fifty clients that ask for one cold file cause each of its segments to be asked for once (row 15)."""
    package = wheel(padding=7 * SEGMENT)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(1000, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    asking = [asyncio.create_task(get(http, url)) for _ in range(50)]
    await gate.reached.wait()
    gate.open()
    answers = await asyncio.gather(*asking)

    assert [(200, package.sha256)] * 50 == [(got.status, got.sha256) for got in answers]
    assert -(-package.body.size // SEGMENT) == origin.count(PATH + package.filename)
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)
    sources = await check_bytes(running, origin, 50 * package.body.size, 50)
    assert package.body.size == sources["upstream"]


@pytest.mark.parametrize("ranges", [True, False])
async def test_file__small_file_is_one_request(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, ranges: bool
) -> None:
    """A file below a segment takes one request upstream, whatever fifty clients do at once."""
    package = wheel(padding=20_000)
    origin.publish(package)
    origin.file(PATH + package.filename, package.body, ranges=ranges)
    running = await make_proxy(origin.url, fetch=SMALL)

    answers = await asyncio.gather(*(get(http, address(running, package)) for _ in range(50)))

    assert [package.sha256] * 50 == [got.sha256 for got in answers]
    assert 1 == origin.count(PATH + package.filename)


@pytest.mark.parametrize("ranges", [True, False])
async def test_file__no_ranges_upstream(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, ranges: bool
) -> None:
    """A large file comes in ranges where upstream honours them, else in one piece: as many bytes either way."""
    package = wheel(padding=6 * SEGMENT)
    origin.publish(package)
    origin.file(PATH + package.filename, package.body, ranges=ranges)
    running = await make_proxy(origin.url, fetch=SMALL)

    assert package.sha256 == (await get(http, address(running, package))).sha256
    assert (7 if ranges else 1) == origin.count(PATH + package.filename)
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


@pytest.mark.parametrize("framing", [chunked, until_close])
@pytest.mark.parametrize("listed", [True, False])
async def test_file__length_unknown(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, framing: object, listed: bool
) -> None:
    """Without a Content-Length from upstream the client gets the file in chunks, whole, and it is kept."""
    package = wheel(padding=3 * SEGMENT)
    origin.publish(package)
    origin.file(PATH + package.filename, package.body, ranges=False)
    if not listed:
        origin.page("/simple/demo/", [Link(package.filename, PATH + package.filename)])
    origin.misbehave(PATH + package.filename, framing())  # type: ignore[operator]
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first = await get(http, url)
    await until_kept(http, url)
    second = await get(http, url)

    assert ("chunked", package.sha256) == (first.headers["transfer-encoding"], first.sha256)
    assert (str(package.body.size), package.sha256) == (second.headers["content-length"], second.sha256)
    assert 1 == origin.count(PATH + package.filename)


async def test_file__http_1_0_and_length_unknown(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that knows no chunks gets the file up to the end of the connection."""
    from tests.exchange import send  # noqa: PLC0415

    package = wheel(padding=SEGMENT)
    origin.publish(package)
    origin.misbehave(PATH + package.filename, chunked())
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await send(running.url, f"GET /pypi/packages/{package.filename} HTTP/1.0\r\n\r\n".encode())

    assert ("200", package.sha256) == (got.status, hashlib.sha256(got.rest).hexdigest())
    assert "chunked" not in got.head.lower()


async def test_file__on_another_host(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file that the page links to on another host is at ~files, and is kept too."""
    package = wheel(padding=2 * SEGMENT)
    origin.publish(package, files=other_origin)
    host = f"{other_origin.host}:{other_origin.port}"
    running = await make_proxy(origin.url, fetch=SMALL, hosts=frozenset({host}))
    url = f"{running.url}/pypi/~files/{host}/packages/{package.filename}"

    first = await get(http, url)
    await until_kept(http, url)

    assert (200, package.sha256) == (first.status, first.sha256)
    assert package.body.size == other_origin.sent_body_bytes()


async def test_file__same_digest_on_two_mounts(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file that one index brought is not fetched again for another that lists the same sha256."""
    package = wheel(padding=2 * SEGMENT)
    origin.publish(package)
    other_origin.publish(package)
    mirror = UpstreamSettings(mount="mirror", url=other_origin.url, index="simple/", ttl=600, hosts=frozenset())
    running = await make_proxy(origin.url, fetch=SMALL, upstreams=(mirror,))

    await get(http, address(running, package))
    await until_kept(http, address(running, package))
    second = await get(http, address(running, package, mount="mirror"))

    assert (package.sha256, "hit") == (second.sha256, second.source)
    assert 0 == other_origin.count(PATH + package.filename)


async def test_file__same_digest_on_two_mounts_at_once(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file under way from one index is shared with clients of another."""
    package = wheel(padding=2 * SEGMENT)
    origin.publish(package)
    other_origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(10, gate), times=1)
    mirror = UpstreamSettings(mount="mirror", url=other_origin.url, index="simple/", ttl=600, hosts=frozenset())
    running = await make_proxy(origin.url, fetch=SMALL, upstreams=(mirror,))

    first = asyncio.create_task(get(http, address(running, package)))
    await gate.reached.wait()
    second = asyncio.create_task(get(http, address(running, package, mount="mirror")))
    await other_origin.until(lambda: other_origin.count("/simple/demo/") == 1)
    gate.open()

    assert [package.sha256] * 2 == [(await first).sha256, (await second).sha256]
    assert 0 == other_origin.count(PATH + package.filename)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512", "sha256"])
async def test_file__other_digests(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, algorithm: str
) -> None:
    """A file is checked with whatever digest the page gives; the ETag does not change when it is stored."""
    package = wheel(padding=2 * SEGMENT)
    value = hashlib.new(algorithm, content(package.body)).hexdigest()
    origin.file(PATH + package.filename, package.body)
    origin.page("/simple/demo/", [Link(package.filename, f"{PATH}{package.filename}#{algorithm}={value}")])
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first = await get(http, url)
    await until_kept(http, url)
    second = await get(http, url)

    assert [package.sha256] * 2 == [first.sha256, second.sha256]
    assert first.headers.get("etag", second.headers["etag"]) == second.headers["etag"]
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


@pytest.mark.parametrize("algorithm", ["md5", "sha512"])
async def test_file__other_digest_is_wrong(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, algorithm: str
) -> None:
    """A digest other than sha256 that disagrees breaks the transfer as well (row 5)."""
    package = wheel(padding=4 * SEGMENT)
    value = hashlib.new(algorithm, content(package.body)).hexdigest()
    origin.file(PATH + package.filename, Flipped(package.body, 70_000))
    origin.page("/simple/demo/", [Link(package.filename, f"{PATH}{package.filename}#{algorithm}={value}")])
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert got.broken
    assert [] == [digest for digest in digests(running.store) if digest.value == got.sha256]


async def test_file__no_digest_on_the_page(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file of a page without hashes is kept under its own address, and its bytes name it from then on."""
    package = wheel(padding=2 * SEGMENT)
    origin.file(PATH + package.filename, package.body)
    origin.page("/simple/demo/", [Link(package.filename, PATH + package.filename)])
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first = await get(http, url)
    kept = await until_kept(http, url)

    assert package.sha256 == first.sha256
    assert f'"sha256:{package.sha256}"' == kept.headers["etag"]
    assert "etag" not in first.headers


async def test_file__unlisted_below_the_base(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file below the mount's base that no page lists is fetched and kept: upstream has it, so it exists."""
    package = wheel("other", padding=SEGMENT)
    origin.file("/extra/" + package.filename, package.body)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package, folder="extra/")

    first = await get(http, url)
    await until_kept(http, url)

    assert package.sha256 == first.sha256
    assert 1 + 1 == origin.count("/extra/" + package.filename)


async def test_file__plus_sign(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A local version's plus sign may be written either way; it is one file."""
    import yarl  # noqa: PLC0415

    package = wheel("demo", "1.0+cu126", padding=1000)
    origin.publish(package)
    running = await make_proxy(origin.url)
    plain = address(running, package)
    urls = [plain, plain.replace("+", "%2B")]

    got = []
    for url in urls:
        async with http.get(yarl.URL(url, encoded=True)) as response:
            got.append(hashlib.sha256(await response.read()).hexdigest())
        await until_idle(running)

    assert [package.sha256] * 2 == got
    assert package.body.size == origin.sent_body_bytes(f"{PATH}{package.filename}".replace("+", "%2B"))


async def test_file__sdist_and_odd_names(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """An sdist goes the way of a wheel."""
    package = sdist("Demo.Odd-Name", "2.0")
    origin.publish(package)
    running = await make_proxy(origin.url)

    got = await get(http, address(running, package))

    assert (200, package.sha256) == (got.status, got.sha256)


async def test_file__redirected(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A redirect to another place of the same host is followed, and the file kept under its own address."""
    package = wheel(padding=3 * SEGMENT)
    origin.publish(package)
    origin.file("/elsewhere", package.body)
    from tests.faults import redirect  # noqa: PLC0415

    origin.misbehave(PATH + package.filename, redirect("/elsewhere"))
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first = await get(http, url)
    await until_kept(http, url)
    asked = origin.count()
    second = await get(http, url)

    assert [package.sha256] * 2 == [first.sha256, second.sha256]
    assert asked == origin.count()


async def test_file__restart_with_the_origin_down(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """What was kept is served by the next process with upstream away (row 24)."""
    package = wheel(padding=2 * SEGMENT)
    origin.publish(package)
    first = await make_proxy(origin.url, fetch=SMALL)
    await get(http, address(first, package))
    await until_kept(http, address(first, package))
    await first.close()
    await origin.stop()

    second = await make_proxy(origin.url, fetch=SMALL)
    got = await get(http, address(second, package))

    assert (200, package.sha256, "hit") == (got.status, got.sha256, got.source)


async def test_file__origin_down_and_other_mount_knows_it(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A kept file whose page is kept too needs nobody upstream, also under a second address of the same digest."""
    package = wheel(padding=SEGMENT)
    origin.publish(package)
    page = [replace(package.link(f"{PATH}{package.filename}")), replace(package.link(f"/copy/{package.filename}"))]
    origin.page("/simple/demo/", page)
    running = await make_proxy(origin.url, fetch=SMALL)
    await get(http, address(running, package))
    await until_kept(http, address(running, package))
    await origin.stop()

    got = await get(http, address(running, package, folder="copy/"))

    assert (200, package.sha256, "hit") == (got.status, got.sha256, got.source)


async def test_file__evicted_while_it_is_sent(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file that gives way to others while a client reads it slowly still arrives whole (row 24)."""
    first, others = wheel("first", padding=900_000), [wheel(f"more{n}", padding=900_000, seed=n) for n in range(5)]
    origin.publish(first, *others)
    running = await make_proxy(origin.url, disk=4_000_000)
    await get(http, address(running, first))
    await until_kept(http, address(running, first))

    async with http.get(address(running, first)) as response:
        body = bytearray(await response.content.readexactly(1000))
        for other in others:
            got = await get(http, address(running, other))
            assert other.sha256 == got.sha256
            await until_idle(running)
        body += await response.content.read()

    assert first.sha256 == hashlib.sha256(body).hexdigest()


async def test_file__memory_stays_flat(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file of 200 MB costs memory of buffers only, cold and kept, for the client that takes it and those who wait."""
    size = 200_000_000
    package = replace(wheel(), body=Joined((Plain(b"PK"), Noise(size))))
    origin.file(PATH + package.filename, package.body)
    origin.page("/simple/demo/", [Link(package.filename, PATH + package.filename)])
    running = await make_proxy(origin.url)
    url = address(running, package)
    await get(http, url, range="bytes=0-9")
    before = peak_memory(reset=True)

    for _ in range(2):
        async with http.get(url) as response:
            received = 0
            async for piece in response.content.iter_any():
                received += len(piece)
        assert size + 2 == received
        await until_kept(http, url)

    assert peak_memory() - before < 100_000_000


def test_content__is_the_package() -> None:
    """The wheels of these tests are what their digest says."""
    package = wheel(padding=100)
    assert package.sha256 == hashlib.sha256(b"".join(pieces(package.body))).hexdigest()
    assert Got(200, {}, content(package.body)).sha256 == package.sha256
