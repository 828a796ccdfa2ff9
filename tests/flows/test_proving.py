"""Files whose digest could not be learnt when they were asked for, and digests in every algorithm, end to end."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.model import ALGORITHMS
from tests import faults
from tests.conftest import MakeProxy
from tests.flows.asking import Got, SteppedClock, content, get, until_idle, until_kept
from tests.flows.conftest import MakeClocked
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

GOOD, EVIL = wheel(padding=3000, seed=1), wheel(padding=3000, seed=2)
PATH = f"/packages/{GOOD.filename}"
PAGE = "/simple/demo/"
RIGHT, WRONG = content(GOOD.body), content(EVIL.body)


def page(origin: Origin, algorithm: str = "sha256", body: bytes = RIGHT) -> None:
    """Let the index list the file, with this digest."""
    value = hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
    origin.page(PAGE, [Link(GOOD.filename, PATH, hashes=((algorithm, value),))])


async def fetch(http: aiohttp.ClientSession, running: Running, origin: Origin, body: bytes = RIGHT) -> Got:
    """Let the origin have these bytes, and ask for the file; it is kept then."""
    origin.file(PATH, body)
    got = await get(http, f"{running.url}/pypi{PATH}")
    await until_idle(running)
    return got


@pytest.mark.parametrize("fault", [faults.status(503), faults.status(500), faults.status(403), faults.hang_up()])
async def test_file__wrong_while_its_page_fails(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession, fault: faults.Fault
) -> None:
    """Wrong bytes that nobody could tell are no hit; when the page is there, the right ones come."""
    running = await make_clocked(origin.url, mount={"ttl": 1.0})
    page(origin)
    origin.misbehave(PAGE, fault)
    one = await fetch(http, running, origin, WRONG)
    two = await fetch(http, running, origin, RIGHT)
    assert [(200, "miss", WRONG), (200, "stale", WRONG)] == [(got.status, got.source, got.body) for got in (one, two)]
    assert not any("immutable" in got.headers["cache-control"] for got in (one, two))
    origin.behave()
    clock.advance(60)
    three, four = await fetch(http, running, origin), await fetch(http, running, origin)
    assert [("miss", RIGHT), ("hit", RIGHT)] == [(got.source, got.body) for got in (three, four)]
    assert "immutable" in four.headers["cache-control"]


async def test_file__wrong_before_a_restart(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The doubt is written down."""
    running = await make_proxy(origin.url)
    page(origin)
    origin.misbehave(PAGE, faults.status(503))
    assert WRONG == (await fetch(http, running, origin, WRONG)).body
    await running.close()
    origin.behave()
    running = await make_proxy(origin.url)
    assert ("miss", RIGHT) == ((got := await fetch(http, running, origin)).source, got.body)


async def test_file__right_while_its_page_fails(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Its page proves it: it is not fetched again."""
    running = await make_clocked(origin.url)
    page(origin)
    origin.misbehave(PAGE, faults.status(503))
    await fetch(http, running, origin)
    origin.behave()
    clock.advance(60)
    got = await fetch(http, running, origin)
    assert ("hit", RIGHT, 1) == (got.source, got.body, origin.count(PATH))


async def test_files__many_while_the_index_fails(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """An installation from a lock file gets all of its files, once and again."""
    origin.missing = lambda _: faults.status(503)(_, origin.file("/x", b"").answer(_))
    packages = [wheel(f"p{number}", padding=1000) for number in range(30)]
    for package in packages:
        origin.file(f"/packages/{package.filename}", package.body)
    for source in ("miss", "stale"):
        asking = [get(http, f"{proxy.url}/pypi/packages/{package.filename}") for package in packages]
        got = await asyncio.gather(*asking)
        assert [(source, content(package.body)) for package in packages] == [(one.source, one.body) for one in got]
        await until_idle(proxy)


async def test_file__while_the_index_hangs(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A kept file in doubt is served, while its page still has not come; the page is believed as soon as it has."""
    running = await make_proxy(origin.url)
    page(origin)
    origin.misbehave(PAGE, faults.status(503))
    await fetch(http, running, origin, WRONG)
    origin.behave()
    gate = Gate()
    origin.misbehave(PAGE, faults.hold_head(gate))
    assert ("stale", WRONG) == ((got := await fetch(http, running, origin)).source, got.body)
    gate.open()
    while not running.store.keys("page:"):
        await asyncio.sleep(0)
    assert RIGHT == (await fetch(http, running, origin)).body


async def test_metadata__of_a_wheel_in_doubt(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """It is no hit, and is read anew when the page tells of another wheel."""
    evil = wheel(padding=3000, seed=2, requires=("evil",))
    page(origin)
    origin.misbehave(PAGE, faults.status(503))
    origin.file(PATH, evil.body)
    address = f"{proxy.url}/pypi{PATH}.metadata"
    one, two = await get(http, address), await get(http, address)
    assert [("miss", evil.metadata), ("stale", evil.metadata)] == [(got.source, got.body) for got in (one, two)]
    origin.behave()
    origin.file(PATH, GOOD.body)
    assert GOOD.metadata == (await get(http, address)).body
    assert "immutable" in (await get(http, address)).headers["cache-control"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_digest__in_any_algorithm(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession, algorithm: str
) -> None:
    """A page that promises another file than it did gets it, whatever it promises it by; else nothing is fetched."""
    running = await make_clocked(origin.url)
    page(origin, algorithm, WRONG)
    await get(http, running.url + "/pypi" + PAGE)
    await fetch(http, running, origin, WRONG)
    kept = await until_kept(http, f"{running.url}/pypi{PATH}")
    page(origin, algorithm, RIGHT)
    clock.advance(601)
    await get(http, running.url + "/pypi" + PAGE)
    got = await fetch(http, running, origin)
    assert ("hit", "miss", RIGHT) == (kept.source, got.source, got.body)
    for _ in range(2):
        clock.advance(601)
        await get(http, running.url + "/pypi" + PAGE)
        assert ("hit", got.headers["etag"]) == (
            (again := await fetch(http, running, origin)).source,
            again.headers["etag"],
        )


async def test_digest__in_another_algorithm_than_before(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A kept file is held to each new algorithm, without being fetched for it."""
    running = await make_clocked(origin.url)
    for algorithm in ("md5", "sha512", "sha1", "sha256", "sha384"):
        page(origin, algorithm)
        clock.advance(601)
        await get(http, running.url + "/pypi" + PAGE)
        assert RIGHT == (await fetch(http, running, origin)).body
    assert 1 == origin.count(PATH)


async def test_digest__changes_while_answers_are_hot(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What is answered from memory is not what was right before the page changed."""
    running = await make_clocked(origin.url, mount={"ttl": 60.0})
    page(origin, "sha512", WRONG)
    await fetch(http, running, origin, WRONG)
    for _ in range(3):
        assert WRONG == (await get(http, f"{running.url}/pypi{PATH}")).body
    page(origin, "sha512", RIGHT)
    origin.file(PATH, RIGHT)
    clock.advance(61)
    assert WRONG == (await get(http, f"{running.url}/pypi{PATH}")).body  # nobody has looked at the page since
    assert WRONG == (await get(http, f"{running.url}/pypi{PATH}")).body
    await get(http, running.url + "/pypi" + PAGE)
    assert RIGHT == (await get(http, f"{running.url}/pypi{PATH}")).body


async def test_digest__shared_by_two_mounts(
    make_clocked: MakeClocked, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file with a sha512 is fetched once for two indexes; one with an md5, which can be forged, is not."""
    running = await make_clocked(origin.url, upstreams=({"mount": "other", "url": other_origin.url},))
    for algorithm, fetched in (("sha512", 1), ("md5", 2)):
        package = replace(GOOD, filename=f"{algorithm}-1.0-py3-none-any.whl")
        value = hashlib.new(algorithm, RIGHT, usedforsecurity=False).hexdigest()
        path = f"/packages/{package.filename}"
        for each in (origin, other_origin):
            each.page(f"/simple/{algorithm}/", [Link(package.filename, path, hashes=((algorithm, value),))])
            each.file(path, RIGHT)
        for mount in ("pypi", "other"):
            assert RIGHT == (await get(http, f"{running.url}/{mount}{path}")).body
            await until_idle(running)
        assert fetched == origin.count(path) + other_origin.count(path)
