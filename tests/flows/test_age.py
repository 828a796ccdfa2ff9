"""What is kept says how long ago upstream confirmed it (RFC 9111 §5.1)."""

from __future__ import annotations

import aiohttp

from tests import faults
from tests.flows.asking import SteppedClock, address, get, until_idle, until_kept
from tests.flows.conftest import MakeClocked
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import wheel

PAGE = "/pypi/simple/demo/"


async def test_page(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """It grows while the page is kept, by the short way too; what upstream just said has none."""
    origin.publish(wheel())
    running = await make_clocked(origin.url)
    url = running.url + PAGE
    first = await get(http, url, accept=JSON)
    assert ("miss", None) == (first.source, first.headers.get("age"))
    for age in (0, 10, 25, 25.9, 599):
        clock.advance(age - int(clock.monotonic()) if age % 1 == 0 else 0.9)
        for method in ("GET", "GET", "HEAD"):
            got = await get(http, url, method, accept=JSON)
            assert ("hit", str(int(age))) == (got.source, got.headers["age"])
        unchanged = await get(http, url, accept=JSON, if_none_match=first.headers["etag"])
        assert (304, str(int(age))) == (unchanged.status, unchanged.headers["age"])
    clock.advance(10)
    again = await get(http, url, accept=JSON)
    assert ("revalidated", None) == (again.source, again.headers.get("age"))
    clock.advance(7)
    assert "7" == (await get(http, url, accept=JSON)).headers["age"]


async def test_page__stale(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A page that is older than it should be says so, and clients that have it are told that it is the same."""
    origin.publish(wheel())
    running = await make_clocked(origin.url)
    first = await get(http, running.url + PAGE)
    origin.misbehave("/simple/demo/", faults.status(500))
    clock.advance(7200)
    stale = await get(http, running.url + PAGE)
    assert ("stale", "7200", "max-age=600, public") == (
        stale.source, stale.headers["age"], stale.headers["cache-control"],
    )  # fmt: skip
    unchanged = await get(http, running.url + PAGE, if_none_match=first.headers["etag"])
    assert (304, "7200") == (unchanged.status, unchanged.headers["age"])


async def test_page__clock_was_set_back(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Nothing is younger than new."""
    origin.publish(wheel())
    running = await make_clocked(origin.url)
    await get(http, running.url + PAGE)
    clock.wall -= 86_400
    for _ in range(3):
        assert "0" == (await get(http, running.url + PAGE)).headers.get("age", "0")


async def test_file_and_metadata(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Files and metadata too, by each way in which they leave."""
    running = await make_clocked(origin.url)
    for number, padding in enumerate((0, 100_000, 600_000)):
        package = wheel(f"demo{number}", padding=padding)
        origin.publish(package, metadata=True)
        url = address(running, package)
        for path in (f"{url}.metadata", url):  # in this order: of a file that is here, the metadata is read out of it
            first = await get(http, path)
            assert ("miss", None) == (first.source, first.headers.get("age"))
        await until_kept(http, url)
        await until_idle(running)
        for step in (1, 2):
            clock.advance(40)
            for path in (url, f"{url}.metadata"):
                ages = {(await get(http, path)).headers["age"] for _ in range(3)}
                ages |= {(await get(http, path, range="bytes=0-3")).headers["age"]}
                assert {str(40 * step)} == ages
