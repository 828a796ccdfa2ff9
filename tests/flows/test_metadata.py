"""Metadata of wheels, by each of the ways in which it is provided, and what each costs upstream."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import faults
from tests.conftest import MakeProxy
from tests.flows.asking import until_idle
from tests.flows.reading import get, get_once
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import Link
from tests.python.test_wheel import packed_by_zstd
from tests.wheels import Package, wheel

if TYPE_CHECKING:
    from proxy.app import Running

MIB = 1 << 20
PAGE = "/pypi/simple/demo/"


def large(size: int = MIB) -> Package:
    """A wheel of about `size` bytes."""
    return wheel(requires=("other>=1",), padding=size)


def at(package: Package) -> str:
    """Where its file is upstream."""
    return f"/packages/{package.filename}"


async def test_metadata__advertised_with_its_hash(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Upstream's file is passed on, checked, and stored; the page keeps the hash."""
    package = large()
    origin.publish(package, metadata=True)
    digest = hashlib.sha256(package.metadata or b"").hexdigest()
    assert f'data-core-metadata="sha256={digest}"'.encode() in (await get(http, proxy.url + PAGE)).body
    first = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    again = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (package.metadata, package.metadata) == (first.body, again.body)
    assert (("miss", "hit"), f'"sha256:{digest}"') == ((first.cache, again.cache), again.headers["etag"])
    assert (1, 0) == (origin.count(f"{at(package)}.metadata"), origin.count(at(package)))
    assert again.headers["cache-control"] == "max-age=365000000, immutable, public"


async def test_metadata__advertised_without_a_hash(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """`true` is as good as a hash: one request for the file itself."""
    package = large()
    origin.publish(package, metadata=True)
    origin.page("/simple/demo/", [replace(package.link(at(package)), metadata=True)])
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert package.metadata == got.body
    assert (1, 0) == (origin.count(f"{at(package)}.metadata"), origin.count(at(package)))


async def test_metadata__not_advertised_but_there(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The page offers metadata all the same, and upstream's file is found by asking for it.

    Until one was found, the wheel's end is asked for beside it; from then on no wheel is touched.
    """
    packages = [large(), wheel("other", padding=MIB)]
    origin.publish(*packages, metadata=True)
    for package in packages:
        page = f"/simple/{package.project}/"
        origin.page(page, [replace(package.link(at(package)), metadata=None)])
        assert b'data-core-metadata="true"' in (await get(http, f"{proxy.url}/pypi{page}")).body
        got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
        assert package.metadata == got.body
    assert origin.sent_body_bytes(at(packages[0])) <= 32 << 10
    assert origin.count(at(packages[1])) == 0


@pytest.mark.parametrize("fmt", ["html", "json"])
async def test_metadata__by_ranges_costs_kilobytes(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, fmt: str
) -> None:
    """Where upstream has only the wheel, its end is read, not the wheel: 8 MiB cost less than 40 KB."""
    package = large(8 * MIB)
    origin.publish(package, fmt="json" if fmt == "json" else "html")
    first = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    spent = origin.sent_body_bytes(at(package))
    again = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (package.metadata, "miss") == (first.body, first.cache)
    assert (package.metadata, "hit") == (again.body, again.cache)
    assert 0 < spent < 40_000
    assert spent == origin.sent_body_bytes(at(package))


async def test_metadata__of_a_stored_wheel(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A wheel that is here already has it: upstream is not needed at all."""
    package = large()
    origin.publish(package)
    await get(http, f"{proxy.url}/pypi{at(package)}")
    while not proxy.store.keys("file:"):  # it is stored a moment after its last byte left
        await asyncio.sleep(0)
    await origin.stop()
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)


async def test_metadata__advertised_of_a_stored_wheel(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The same where a hash was advertised: the wheel's own METADATA has it."""
    package = large()
    origin.publish(package, metadata=True)
    await get(http, f"{proxy.url}/pypi{at(package)}")
    while not proxy.store.keys("file:"):
        await asyncio.sleep(0)
    await origin.stop()
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)


async def test_metadata__where_upstream_ignores_ranges(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The wheel is fetched whole, and kept: the download that follows costs nothing."""
    package = large()
    origin.publish(package)
    origin.misbehave(at(package), faults.ignores_range())
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)
    asked = origin.count(at(package))
    whole = await get(http, f"{proxy.url}/pypi{at(package)}")
    assert package.body.read(0, package.body.size) == whole.body
    assert asked == origin.count(at(package))


async def test_metadata__advertised_and_missing(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """An advertised file that is 404 would end pip's installation: the wheel's own METADATA has the promised hash."""
    package = large()
    origin.publish(package, metadata=True)
    origin.remove(f"{at(package)}.metadata")
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)
    assert origin.sent_body_bytes(at(package)) < 40_000


async def test_metadata__advertised_and_wrong(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Bytes that have not the advertised hash never arrive; the wheel's own METADATA does."""
    package = large()
    origin.publish(package, metadata=True)
    origin.misbehave(f"{at(package)}.metadata", faults.flipped(3))
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)


async def test_metadata__advertised_with_a_hash_that_nothing_has(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Where neither upstream's file nor the wheel's METADATA has the hash, none is served or kept.

    The wheel is, since it has its own digest: it was fetched whole as the last way.
    """
    package = large()
    origin.publish(package, metadata=True)
    origin.page("/simple/demo/", [replace(package.link(at(package)), metadata="0" * 64)])
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    await until_idle(proxy)
    kept = [key.rpartition("/")[2] for key in proxy.store.keys("file:")]
    assert (502, [package.filename]) == (got.status, kept)


@pytest.mark.parametrize(
    "spoilt",
    [
        (faults.captive_portal(),),
        (faults.status(403),),
        (faults.status(400),),
        (faults.other_body(b"no metadata at all"),),
    ],
    ids=["captive portal", "403 of a bucket", "400", "other bytes"],
)
async def test_metadata__whose_probe_goes_wrong(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, spoilt: tuple[faults.Fault, ...]
) -> None:
    """What is no metadata file, where none was advertised, is not taken for one."""
    package = large()
    origin.publish(package)
    origin.resource(f"{at(package)}.metadata", b"")
    origin.misbehave(f"{at(package)}.metadata", *spoilt)
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)


async def test_metadata__herd(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Twenty clients at once cost upstream what one costs (row 15 of the faults)."""
    package = large()
    origin.publish(package, metadata=True)
    gate = Gate()
    origin.misbehave(f"{at(package)}.metadata", faults.hold_head(gate))
    asking = [asyncio.create_task(get(http, f"{proxy.url}/pypi{at(package)}.metadata")) for _ in range(20)]
    await gate.reached.wait()
    gate.open()
    got = await asyncio.gather(*asking)
    assert {package.metadata} == {answer.body for answer in got}
    assert origin.count(f"{at(package)}.metadata") == 1


async def test_metadata__of_a_wheel_that_is_missing(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A listed wheel that is not there has no metadata: 404."""
    package = large()
    origin.publish(package)
    origin.remove(at(package))
    assert (await get(http, f"{proxy.url}/pypi{at(package)}.metadata")).status == 404


async def test_metadata__of_what_is_no_wheel(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file that only calls itself a wheel gives 502, and nothing is kept of it."""
    package = large()
    origin.publish(package)
    origin.file(at(package), bytes(100_000))
    origin.page("/simple/demo/", [replace(package.link(at(package)), sha256=None, size=None)])
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (502, []) == (got.status, [key for key in proxy.store.keys("file:") if key.endswith(".metadata")])


async def test_metadata__upstream_hangs(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Cold, and upstream says nothing: 504 within its limit (row 7 of the faults)."""
    running = await make_proxy(origin.url, fetch={"read_timeout": 0.2})
    package = large()
    origin.publish(package, metadata=True)
    for path in (at(package), f"{at(package)}.metadata"):
        origin.misbehave(path, faults.hold_head(Gate()))
    assert (await get(http, f"{running.url}/pypi{at(package)}.metadata")).status == 504


async def test_metadata__is_never_coded(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """pip hashes the raw body: it is sent as it is, whatever the client accepts."""
    package = large()
    origin.publish(package, metadata=True)
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata", accept_encoding="gzip")
    assert (None, package.metadata) == (got.headers.get("content-encoding"), got.body)


async def test_metadata__that_is_gzip_coded_upstream(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A coding nobody asked for is not passed on as if it were the file (row 13 of the faults)."""
    package = large()
    origin.publish(package, metadata=True)
    origin.page("/simple/demo/", [replace(package.link(at(package)), metadata=None)])
    origin.misbehave(f"{at(package)}.metadata", faults.gzipped())
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)


async def test_no_metadata_files__are_not_asked_for_again_and_again(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Of an index without metadata files a few are asked for; one round trip, for the end of the wheel, is enough."""
    wheels = [wheel(f"demo{number}", padding=200_000) for number in range(8)]
    for package in wheels:
        origin.file(f"/packages/{package.filename}", package.body)
        origin.page(f"/simple/{package.project}/", [Link(package.filename, f"/packages/{package.filename}")])
    running = await make_proxy(origin.url)
    asked = []
    for package in wheels:
        await get(http, f"{running.url}/pypi/simple/{package.project}/")
        origin.forget()
        got = await get(http, f"{running.url}/pypi/packages/{package.filename}.metadata")
        assert package.metadata == got.body
        asked.append(  # both at once, so in any order
            {(request.path.endswith(".metadata"), request.headers.get("range")) for request in origin.requests}
        )
        assert len(asked[-1]) == len(origin.requests)
    end = (False, "bytes=-32768")
    assert [{(True, None), end}] * 3 + [{end}] * 5 == asked


async def test_no_ranges_from_the_end__others_do(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """An upstream that knows no ranges from the end is asked for the size, and for the range that it means."""
    package = wheel(padding=200_000)
    path = f"/packages/{package.filename}"
    origin.file(path, package.body)
    origin.page("/simple/demo/", [Link(package.filename, path)])
    origin.misbehave(path, faults.status(501), when=lambda request: "=-" in request.headers.get("range", ""))
    running = await make_proxy(origin.url)
    got = await get(http, f"{running.url}/pypi{path}.metadata")
    assert package.metadata == got.body
    assert origin.sent_body_bytes(path) < 40_000


async def test_metadata__that_takes_longer_than_a_client_waits(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A host that gives no parts, and is slow: the client is sent on until the wheel is here, and has it then.

    From then on pages promise no such metadata, but of what is kept.
    """
    package, other = large(), wheel("demo", "2.0", padding=MIB, seed=2)
    origin.publish(package, other)
    gate = Gate()
    origin.misbehave(at(other), faults.ignores_range())
    origin.misbehave(at(package), faults.ignores_range(), faults.hold_body(1000, gate))
    address = f"{proxy.url}/pypi{at(package)}.metadata"
    assert 2 == (await get(http, proxy.url + PAGE)).body.count(b"data-core-metadata")
    got = await get_once(http, address)
    assert (302, f"{package.filename}.metadata?waited=1") == (got.status, got.headers["location"])
    assert "no-store" == got.headers["cache-control"]
    again = await get_once(http, f"{address}?waited=1", user_agent="pip/26.3")
    assert 302 == again.status
    gate.open()
    last = await get(http, f"{address}?waited=2")
    assert (200, package.metadata) == (last.status, last.body)
    page = (await get(http, proxy.url + PAGE)).body
    assert 1 == page.count(b"data-core-metadata")
    assert b"data-core-metadata" in page.partition(package.filename.encode())[2].partition(b"</a>")[0]
    for query in ("waited=99", "waited=x", "waited=-1", "waited=1&a=b", "xwaited=1"):
        assert package.metadata == (await get(http, f"{address}?{query}")).body


async def test_metadata__packed_by_zstd(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """It is read as any other."""
    package = wheel()
    body = packed_by_zstd({"demo/__init__.py": bytes(300_000), "demo-1.0.dist-info/METADATA": package.metadata or b""})
    origin.file(at(package), body)
    origin.page("/simple/demo/", [Link(package.filename, at(package))])
    got = await get(http, f"{proxy.url}/pypi{at(package)}.metadata")
    assert (200, package.metadata) == (got.status, got.body)


async def test_metadata__of_a_wheel_that_gives_none(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A wheel that is packed in a way that is not known is promised once, and then not any more."""
    package = wheel()
    body = packed_by_zstd({"demo-1.0.dist-info/METADATA": b"x"}).replace(b"\x5d\x00", b"\x5c\x00")
    origin.file(at(package), body)
    origin.page("/simple/demo/", [Link(package.filename, at(package))])
    assert b"data-core-metadata" in (await get(http, proxy.url + PAGE)).body
    assert 502 == (await get(http, f"{proxy.url}/pypi{at(package)}.metadata")).status
    assert b"data-core-metadata" not in (await get(http, proxy.url + PAGE)).body
