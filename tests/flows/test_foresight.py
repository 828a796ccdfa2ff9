"""Look-ahead: what a client asks next is here before it asks, and being wrong harms nobody.

The client asks as pip does: a page, the metadata of one wheel, the next page; then the files.
"""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import faults, scrape
from tests.conftest import MakeProxy
from tests.flows.asking import SteppedClock, until_idle
from tests.flows.reading import Got, get
from tests.foresight.agents import agent
from tests.gates import Gate
from tests.origin import Limit, Origin
from tests.pages import HTML, JSON
from tests.wheels import Package, sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

MIB = 1 << 20
PIP = agent()
CHAIN = (wheel("a", requires=("b>=1", "c")), wheel("b", requires=("d",)), wheel("c"), wheel("d"))


def page(name: str) -> str:
    """A project's page on the origin."""
    return f"/simple/{name}/"


def file(package: Package) -> str:
    """A file on the origin."""
    return f"/packages/{package.filename}"


def publish(origin: Origin, *packages: Package) -> None:
    """Put packages on the origin as PyPI has them: pages in JSON, with sizes and metadata."""
    origin.publish(*packages, fmt="both", metadata=True)


class Pip:
    """A client that asks as pip does."""

    def __init__(self, http: aiohttp.ClientSession, running: Running, mount: str = "pypi", who: str = PIP) -> None:
        self._http = http
        self._running = running
        self._mount = mount
        self._agent = who

    async def get(self, path: str, accept: str = JSON) -> Got:
        """Ask for a path below the mount."""
        url = f"{self._running.url}/{self._mount}{path}"
        return await get(self._http, url, user_agent=self._agent, accept=accept, accept_encoding="gzip")

    async def resolve(self, package: Package) -> None:
        """Ask for the page, and for the metadata of a wheel."""
        assert 200 == (await self.get(page(package.project))).status
        got = await self.get(f"{file(package)}.metadata")
        assert (200, package.metadata) == (got.status, got.body)


def foreseen(running: Running, kind: str, outcome: str = "fetched") -> float:
    """How many answers came ahead of clients."""
    return scrape.metric(running, "pullthrough_foreseen_total", upstream="pypi", kind=kind, outcome=outcome)


async def until(running: Running, kind: str, count: int, outcome: str = "fetched") -> None:
    """Wait until so many answers came ahead of clients."""
    while foreseen(running, kind, outcome) < count:
        await asyncio.sleep(0.01)


async def settled(origin: Origin) -> None:
    """Wait until the origin is asked for nothing more. Only for what must not be asked: a late request is not seen."""
    before = -1
    while before != origin.count():
        before = origin.count()
        await asyncio.sleep(0.3)


async def test_pages_and_metadata__of_what_is_required(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """From the metadata of one wheel all that follows is here, each asked for once, and then used."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    await pip.resolve(CHAIN[0])
    await until(running, "page", 3)
    await until(running, "metadata", 3)
    for package in CHAIN[1:]:
        await pip.resolve(package)
        assert (1, 1) == (origin.count(page(package.project)), origin.count(f"{file(package)}.metadata"))
    await until(running, "page", 3, "used")
    await until(running, "metadata", 3, "used")
    assert 0 == foreseen(running, "file")


async def test_metadata__asked_for_while_it_comes(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that is faster than look-ahead does not end it: what follows is foreseen all the same."""
    gate = Gate()
    publish(origin, *CHAIN)
    origin.misbehave(f"{file(CHAIN[1])}.metadata", faults.hold_head(gate))
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    await pip.resolve(CHAIN[0])
    await gate.reached.wait()
    asking = asyncio.create_task(pip.resolve(CHAIN[1]))
    await until(running, "page", 1, "used")
    gate.open()
    await asking
    await origin.until(lambda: bool(origin.count(page("d"))))


async def test_client_that_asks_for_all_at_once(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client with many questions under way, as uv has, is not helped with its next ones."""
    gate = Gate()
    busy = [wheel(f"w{number}") for number in range(6)]
    publish(origin, *CHAIN, *busy)
    for package in busy:
        origin.misbehave(page(package.project), faults.hold_head(gate))
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    asking = [asyncio.create_task(pip.get(page(package.project))) for package in busy]
    await origin.until(lambda: all(origin.count(page(package.project)) for package in busy))
    await pip.resolve(CHAIN[0])
    await settled(origin)
    assert 0 == origin.count(page("b"))
    gate.open()
    await asyncio.gather(*asking)
    await pip.resolve(CHAIN[1])
    await until(running, "page", 1)


async def test_files__that_fail_take_no_room(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file that could not be fetched ahead leaves its bytes of the bound to the next one."""
    first, broken, second = (wheel(name, padding=MIB) for name in "abc")
    publish(origin, first, broken, second)
    origin.misbehave(file(broken), faults.status(404))
    running = await make_proxy(origin.url, foresight={"size": 3 * MIB // 2})
    pip = Pip(http, running)
    for package in (first, broken, second):
        await pip.resolve(package)
    assert 200 == (await pip.get(file(first))).status
    await until(running, "file", 1)
    assert 1 == origin.count(file(second))


async def test_files__that_come_next(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """With the first file that the client downloads the others come, and their bytes are told."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    for package in CHAIN:
        await pip.resolve(package)
    assert 0 == origin.count(file(CHAIN[2]))
    assert 200 == (await pip.get(file(CHAIN[0]))).status
    await until(running, "file", 3)
    size = sum(package.body.size for package in CHAIN[1:])
    for outcome in ("fetched", "used"):
        told = {"upstream": "pypi", "kind": "file", "outcome": outcome}
        assert size == scrape.metric(running, "pullthrough_foreseen_bytes_total", **told)
        for package in CHAIN[1:]:
            assert package.sha256 == (await pip.get(file(package))).headers["etag"].split(":")[1].strip('"')
    assert [1] * 4 == [origin.count(file(package)) for package in CHAIN]


async def test_files__large_ones_wait(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A large file comes when no client waits for a download; one that is over the bound does not come."""
    gate = Gate()
    first, large, huge = (wheel(name, padding=size * MIB) for name, size in (("a", 9), ("b", 10), ("c", 30)))
    small = wheel("d")
    publish(origin, first, large, huge, small)
    origin.misbehave(file(first), faults.hold_body(MIB, gate))
    running = await make_proxy(origin.url, foresight={"size": 20 * MIB})
    pip = Pip(http, running)
    for package in (first, huge, large, small):
        await pip.resolve(package)
    downloading = asyncio.create_task(pip.get(file(first)))
    await until(running, "file", 1)
    assert (1, 0) == (origin.count(file(small)), origin.count(file(large)))
    gate.open()
    assert 200 == (await downloading).status
    await until(running, "file", 2)
    assert 0 == origin.count(file(huge))
    await until_idle(running)


async def test_files__while_one_takes_minutes(
    make_clocked: MakeProxy, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that waits for a file for minutes is still the same install when it asks for the next one."""
    gate = Gate()
    first, second, third = (wheel(name, padding=MIB) for name in "abc")
    publish(origin, first, second, third)
    origin.misbehave(file(first), faults.hold_body(MIB // 2, gate))
    running = await make_clocked(origin.url, foresight={"size": 3 * MIB // 2}, fetch={"segment": 8 * MIB})
    pip = Pip(http, running)
    for package in (first, second, third):
        await pip.resolve(package)
    downloading = asyncio.create_task(pip.get(file(first)))
    await until(running, "file", 1)
    clock.advance(160.0)
    gate.open()
    assert 200 == (await downloading).status
    assert 200 == (await pip.get(file(second))).status
    await until(running, "file", 2)
    assert 1 == origin.count(file(third))


async def test_files__while_one_that_was_not_chosen_takes_minutes(
    make_clocked: MakeProxy, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Nor is what a client chose forgotten while it waits for a file to look into, before it has chosen all."""
    gate = Gate()
    first, second, other = wheel("a"), wheel("b"), wheel("s", padding=MIB)
    publish(origin, first, second, other)
    origin.misbehave(file(other), faults.hold_body(MIB // 2, gate))
    running = await make_clocked(origin.url)
    pip = Pip(http, running)
    for package in (first, second):
        await pip.resolve(package)
    assert 200 == (await pip.get(page("s"))).status
    async with http.get(f"{running.url}/pypi{file(other)}", headers={"User-Agent": PIP}) as downloading:
        clock.advance(160.0)
        gate.open()
        assert other.body.size == len(await downloading.read())
    assert 200 == (await pip.get(file(first))).status
    await until(running, "file", 1)
    assert 1 == origin.count(file(second))


async def test_files__not_of_another_choice(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Of two versions whose metadata was taken, the one that was taken last is fetched."""
    old, new, other = wheel("b", "1.0"), wheel("b", "2.0"), wheel("a")
    publish(origin, old, new, other)
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    for package in (new, old, other):
        await pip.resolve(package)
    assert 200 == (await pip.get(file(other))).status
    await until(running, "file", 1)
    assert (1, 0) == (origin.count(file(old)), origin.count(file(new)))


async def test_files__of_who_locks(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """uv that locks downloads what it builds with, and none of the files that it chose."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url)
    uv = Pip(http, running, who=agent("uv/0.9.0", installer={"name": "uv", "subcommand": ["pip", "compile"]}))
    for package in CHAIN:
        await uv.resolve(package)
    assert 200 == (await uv.get(file(CHAIN[0]))).status
    await until_idle(running)
    await settled(origin)
    assert [1, 0, 0, 0] == [origin.count(file(package)) for package in CHAIN]


async def test_files__begin_with_the_first_that_is_not_here(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file that is here says nothing of the others; the first that is not says that they are needed."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url)
    await get(http, f"{running.url}/pypi{file(CHAIN[0])}")
    pip = Pip(http, running)
    for package in CHAIN:
        await pip.resolve(package)
    await pip.get(file(CHAIN[0]))
    await settled(origin)
    assert [1, 0, 0, 0] == [origin.count(file(package)) for package in CHAIN]
    await pip.get(file(CHAIN[1]))
    await until(running, "file", 2)
    assert [1] * 4 == [origin.count(file(package)) for package in CHAIN]


@pytest.mark.parametrize(("what", "pages", "files"), [("off", 0, 0), ("metadata", 1, 0), ("files", 1, 1)])
async def test_setting(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, what: str, pages: int, files: int
) -> None:
    """As much as the setting says."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url, foresight={"what": what})
    pip = Pip(http, running)
    await pip.resolve(CHAIN[0])
    await until(running, "page", 3 * pages)
    await pip.resolve(CHAIN[1])
    await pip.get(file(CHAIN[0]))
    await until(running, "file", files)
    await settled(origin)
    assert (pages, files) == (origin.count(page("d")), origin.count(file(CHAIN[1])))


@pytest.mark.parametrize("who", ["curl/8.5.0", "poetry/2.1.3 CPython/3.11.2", agent(implementation={"name": "PyPy"})])
async def test_client_without_environment(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, who: str
) -> None:
    """Nothing is foreseen where nothing tells what will fit."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url)
    await Pip(http, running, who=who).resolve(CHAIN[0])
    await settled(origin)
    assert (0, 0) == (origin.count(page("b")), foreseen(running, "page"))


async def test_versions__as_all_require_them(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The wheel that is tried first is the newest that suits all who require the project; markers and extras count."""
    a = wheel("a", requires=("b<3", "c", "win; sys_platform=='win32'", "x[fast]"))
    c = wheel("c", requires=("b!=2.0",))
    x = wheel("x", requires=("y; extra=='fast'", "z; extra=='slow'"))
    versions = [wheel("b", version) for version in ("1.0", "1.5", "2.0", "3.0")]
    publish(origin, a, c, x, wheel("y"), wheel("z"), wheel("win"), *versions)
    running = await make_proxy(origin.url)
    await Pip(http, running).resolve(a)
    await origin.until(lambda: bool(origin.count(f"{file(versions[1])}.metadata") and origin.count(page("y"))))
    await settled(origin)
    assert 0 == origin.count(f"{file(versions[0])}.metadata") == origin.count(f"{file(versions[3])}.metadata")
    assert 0 == origin.count(page("z")) == origin.count(page("win"))


async def test_cycle(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Projects that require each other, and themselves, are asked for once."""
    a, b = wheel("a", requires=("b[x]", "a[all]")), wheel("b", requires=("a[all]", "c; extra=='x'", "b[x]"))
    publish(origin, a, b, wheel("c"))
    running = await make_proxy(origin.url)
    await Pip(http, running).resolve(a)
    await until(running, "page", 2)
    await settled(origin)
    assert {page("a"): 1, page("b"): 1, page("c"): 1} == {page(name): origin.count(page(name)) for name in "abc"}


async def test_metadata__never_by_a_whole_wheel(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Where a host honours no ranges and has no metadata, a wheel is not fetched to learn what it requires."""
    a, b = wheel("a", requires=("b",)), wheel("b", padding=MIB)
    publish(origin, a)
    origin.publish(b)
    origin.misbehave(file(b), faults.ignores_range())
    running = await make_proxy(origin.url)
    await Pip(http, running).resolve(a)
    await until(running, "page", 1)
    await settled(origin)
    assert 0 == origin.count(file(b))


async def test_source_distribution(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Where the newest is a source distribution, the client builds it; nothing is foreseen of it."""
    a, b = wheel("a", requires=("b",)), sdist("b", "2.0")
    publish(origin, a, wheel("b", "1.0"), b)
    running = await make_proxy(origin.url)
    await Pip(http, running).resolve(a)
    await until(running, "page", 1)
    await settled(origin)
    assert (0, 0) == (origin.count(file(b)), foreseen(running, "metadata"))


async def test_second_client__finds_it_here(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What is here is not asked for again, for whoever; two clients at once ask for each thing once."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url)
    both = [Pip(http, running, who=agent(name)) for name in ("pip/26.3", "uv/0.9.0")]
    for package in CHAIN:
        await asyncio.gather(*(pip.resolve(package) for pip in both))
    await asyncio.gather(*(pip.get(file(CHAIN[0])) for pip in both))
    await until_idle(running)
    await settled(origin)
    assert [1] * 4 == [origin.count(page(package.project)) for package in CHAIN]
    assert [1] * 4 == [origin.count(file(package)) for package in CHAIN]


async def test_second_client__is_known_by_what_is_replayed(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """One that asks exactly what others asked gets its files ahead, too: whoever asked before may have taken none."""
    packages = [wheel(name) for name in "abc"]
    publish(origin, *packages)
    running = await make_proxy(origin.url)
    others = [agent(user_data=f"job {number}") for number in range(3)]
    for who in others:
        for package in packages:
            await Pip(http, running, who=who).resolve(package)
    assert 0 == sum(origin.count(file(package)) for package in packages)
    assert 200 == (await Pip(http, running, who=others[-1]).get(file(packages[0]))).status
    await until(running, "file", 2)
    assert [1, 1, 1] == [origin.count(file(package)) for package in packages]


async def test_two_clients__of_two_systems(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """At once, from one address: what is foreseen for each is what it can install, and the markers are its own."""
    a = wheel("a", requires=("b", "on-linux; sys_platform=='linux'", "on-windows; sys_platform=='win32'"))
    linux, windows = (wheel("b", tag=f"cp311-cp311-{name}") for name in ("manylinux2014_x86_64", "win_amd64"))
    publish(origin, a, linux, windows, wheel("on-linux"), wheel("on-windows"))
    running = await make_proxy(origin.url)
    other = agent(system={"name": "Windows"}, cpu="AMD64", distro=None)
    one, two = Pip(http, running), Pip(http, running, who=other)
    await asyncio.gather(*(pip.get(page("a")) for pip in (one, two)))
    await one.get(f"{file(a)}.metadata")
    await origin.until(lambda: bool(origin.count(page("on-linux")) and origin.count(f"{file(linux)}.metadata")))
    await settled(origin)
    assert (0, 0) == (origin.count(page("on-windows")), origin.count(f"{file(windows)}.metadata"))
    await two.get(f"{file(a)}.metadata")
    await settled(origin)
    # What was here before begins nothing: the second client finds its own way.
    assert 0 == origin.count(page("on-windows"))
    assert (200, 200) == ((await two.get(page("b"))).status, (await two.get(f"{file(windows)}.metadata")).status)


async def test_client_that_goes_elsewhere(
    make_clocked: MakeProxy, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What it never asks for is told as unused; then nothing is foreseen for it for a while."""
    many = tuple(f"p{number}" for number in range(32))
    a, b = wheel("a", requires=many), wheel("b", requires=("last",))
    publish(origin, a, b, wheel("last"), *(wheel(name) for name in many))
    running = await make_clocked(origin.url)
    pip = Pip(http, running)
    await pip.resolve(a)
    await until(running, "metadata", 32)
    clock.advance(61.0)
    await pip.resolve(b)
    await until(running, "metadata", 32, "unused")
    await settled(origin)
    assert 0 == origin.count(page("last"))


@pytest.mark.parametrize("fault", [faults.status(429, retry_after="60"), faults.status(503)])
async def test_upstream_that_throttles(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, fault: faults.Fault
) -> None:
    """It is not asked ahead of clients for a while, and clients are answered as ever."""
    a = wheel("a", requires=tuple(f"p{number}" for number in range(100)))
    b = wheel("b", requires=("last",))
    publish(origin, a, b, wheel("last"))
    origin.misbehave(page("p0"), fault)
    running = await make_proxy(origin.url, foresight={"requests": 2}, fetch={"retries": 0})
    pip = Pip(http, running)
    await pip.resolve(a)
    await origin.until(lambda: bool(origin.count(page("p0"))))
    await settled(origin)
    assert 0 == origin.count(page("p99"))
    await pip.resolve(b)
    await settled(origin)
    assert 0 == origin.count(page("last"))


@pytest.mark.parametrize("fault", [None, faults.status(429, retry_after="2"), faults.status(503)])
async def test_upstream_that_gives_few_requests_at_once(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, fault: faults.Fault | None
) -> None:
    """What goes ahead of a client costs it no answer: where its own request is refused for that, it is made again."""
    names = [f"p{number}" for number in range(20)]
    packages = [wheel(name) for name in names]
    a = wheel("a", requires=tuple(names))
    publish(origin, a, *packages)
    origin.misbehave(None, faults.throttled(20_000))
    origin.limit = Limit(2, fault)
    pip = Pip(http, await make_proxy(origin.url))
    await pip.resolve(a)
    for package in packages:
        await pip.resolve(package)
    for package in packages:
        assert 200 == (await pip.get(file(package))).status
    assert origin.refused > 0


@pytest.mark.parametrize("fault", [faults.status(429, retry_after="2"), faults.status(503)])
async def test_upstream_that_gives_few_requests_at_once__pages_of_yesterday(
    make_clocked: MakeProxy, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession, fault: faults.Fault
) -> None:
    """What goes ahead of a client does not leave it with the old page of a project that has a new release."""
    gate = Gate()
    names = [f"p{number}" for number in range(20)]
    old, new = ([wheel(name, version) for name in names] for version in ("1.0", "2.0"))
    a = wheel("a", requires=tuple(names))
    publish(origin, *old)
    pip = Pip(http, await make_clocked(origin.url))
    for package in old:
        assert 200 == (await pip.get(page(package.project))).status
    clock.advance(601.0)
    publish(origin, a, *old, *new)
    origin.forget()
    for name in names:
        origin.misbehave(page(name), faults.hold_head(gate), times=1)
    origin.limit = Limit(2, fault)
    await pip.resolve(a)
    await origin.until(lambda: origin.refused > 0)
    last = new[-1]
    asking = asyncio.create_task(pip.get(page(last.project)))
    await origin.until(lambda: bool(origin.count(page(last.project))))
    gate.open()
    for package, got in ((last, await asking), *[(one, await pip.get(page(one.project))) for one in new]):
        found = package.filename.encode() in gzip.decompress(got.body)
        assert (package.project, True) == (package.project, found)


async def test_upstream_that_hangs__pages_of_yesterday(
    make_clocked: MakeProxy, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """No more of them are asked for at once than of others; what a client asks for by itself is asked for at once."""
    gate = Gate()
    names = [f"p{number}" for number in range(50)]
    a = wheel("a", requires=tuple(names))
    publish(origin, *map(wheel, names))
    running = await make_clocked(origin.url)
    pip = Pip(http, running)
    for name in names:
        assert 200 == (await pip.get(page(name))).status
    clock.advance(601.0)
    origin.forget()
    publish(origin, a)
    for name in names[:-1]:
        origin.misbehave(page(name), faults.hold_head(gate))
    await pip.resolve(a)
    await origin.until(lambda: sum(map(origin.count, map(page, names))) == 8)
    assert "revalidated" == (await pip.get(page(names[-1]))).headers["x-cache"]
    assert "stale" == (await pip.get(page(names[-2]))).headers["x-cache"]  # it was waited for meanwhile
    await settled(origin)
    assert 10 == sum(map(origin.count, map(page, names)))
    await running.close()
    gate.open()


async def test_upstream_that_throttles_a_client(
    make_clocked: MakeProxy, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """It is not asked ahead of clients for as long as it says, by whatever mount, though nothing was on its way."""
    publish(origin, *CHAIN, wheel("x"))
    origin.misbehave(page("x"), faults.status(429, retry_after="60"))
    running = await make_clocked(origin.url, upstreams=[{"mount": "twin", "url": origin.url}])
    assert 503 == (await Pip(http, running, "twin").get(page("x"))).status
    pip = Pip(http, running)
    clock.advance(59.0)
    await pip.resolve(CHAIN[0])
    await settled(origin)
    assert 0 == origin.count(page("b"))
    clock.advance(2.0)
    await pip.resolve(CHAIN[1])
    await origin.until(lambda: bool(origin.count(page("d"))))


async def test_upstream_that_lets_nothing_be_stored(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Nothing goes ahead there for long: the client would have to ask for it again."""
    a = wheel("a", requires=tuple(f"p{number}" for number in range(50)))
    publish(origin, a, *(wheel(f"p{number}") for number in range(50)))
    origin.misbehave(None, faults.headers(("Cache-Control", "no-store")))
    heeding = {"mount": "heeding", "url": origin.url, "honour_no_store": True}
    running = await make_proxy(origin.url, upstreams=[heeding], foresight={"requests": 2})
    await Pip(http, running, "heeding").resolve(a)
    await settled(origin)
    assert sum(origin.count(page(f"p{number}")) for number in range(50)) <= 1


async def test_upstream_that_hangs(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Look-ahead that hangs holds no client up, and ends with the program."""
    gate = Gate()
    a = wheel("a", requires=tuple(f"p{number}" for number in range(100)))
    publish(origin, a, wheel("b"))
    for number in range(100):
        origin.misbehave(page(f"p{number}"), faults.hold_head(gate))
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    await pip.resolve(a)
    await origin.until(lambda: sum(origin.count(page(f"p{number}")) for number in range(100)) == 8)
    await pip.resolve(wheel("b"))
    await running.close()
    gate.open()


async def test_metadata__that_is_none(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Ten thousand requirements, names that are none, an address in place of a version: clients notice nothing."""
    strange = (
        "../etc/passwd",
        "b @ file:///etc/passwd",
        "c; ++",
        "http://127.0.0.1/",
        *(f"q{n}" for n in range(10_000)),
    )
    a = wheel("a", requires=strange)
    publish(origin, a, wheel("q0"))
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    await pip.resolve(a)
    await origin.until(lambda: bool(origin.count(page("q0"))))
    await settled(origin)
    assert 0 == origin.count(page("q9999"))
    await pip.resolve(wheel("q0"))


async def test_group__first_member_alone(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Ahead of clients only the first member is asked; the pages are those that the client asks the group for."""
    a, b = wheel("a", requires=("b",)), wheel("b")
    publish(origin, a)
    other_origin.publish(b)
    running = await make_proxy(
        origin.url,
        upstreams=[{"mount": "second", "url": other_origin.url}],
        groups=[{"mount": "all", "members": ["pypi", "second"]}],
    )
    grouped = Pip(http, running, "all")
    assert 200 == (await grouped.get(page("a"))).status
    assert 200 == (await Pip(http, running).get(f"{file(a)}.metadata")).status
    await origin.until(lambda: bool(origin.count(page("b"))))
    await settled(other_origin)
    assert 0 == other_origin.count(page("b"))
    assert 200 == (await grouped.get(page("b"))).status


async def test_group__counted_for_its_member(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What was fetched ahead for a client of a group counts for the index that it came from."""
    a, b = wheel("a", requires=("b",)), wheel("b")
    publish(origin, a, b)
    running = await make_proxy(
        origin.url,
        upstreams=[{"mount": "second", "url": other_origin.url}],
        groups=[{"mount": "all", "members": ["pypi", "second"]}],
    )
    grouped = Pip(http, running, "all")
    assert 200 == (await grouped.get(page("a"))).status
    assert 200 == (await Pip(http, running).get(f"{file(a)}.metadata")).status
    while not scrape.metric(running, "pullthrough_foreseen_total", kind="page", outcome="fetched"):
        await asyncio.sleep(0.01)
    assert 200 == (await grouped.get(page("b"))).status
    while not scrape.metric(running, "pullthrough_foreseen_total", kind="page", outcome="used"):
        await asyncio.sleep(0.01)

    assert (1, 1) == (foreseen(running, "page"), foreseen(running, "page", "used"))


async def test_two_indexes__names_of_one(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What only a private index has is asked of no other one, though the client looks for its project on both."""
    web, fork, patches = wheel("web", requires=("fork",)), wheel("fork", requires=("patches",)), wheel("patches")
    publish(origin, web)
    publish(other_origin, fork, patches)
    running = await make_proxy(origin.url, upstreams=[{"mount": "private", "url": other_origin.url}])
    public, private = Pip(http, running), Pip(http, running, "private")
    assert 404 == (await private.get(page("web"))).status
    await public.resolve(web)
    await origin.until(lambda: bool(origin.count(page("fork"))))
    await private.resolve(fork)
    await other_origin.until(lambda: bool(other_origin.count(page("patches"))))
    await settled(origin)
    assert 0 == origin.count(page("patches"))


async def test_form__that_the_client_takes(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A client of HTML gets HTML of what came ahead."""
    publish(origin, *CHAIN)
    running = await make_proxy(origin.url)
    pip = Pip(http, running)
    assert 200 == (await pip.get(page("a"), accept=HTML)).status
    assert 200 == (await pip.get(f"{file(CHAIN[0])}.metadata", accept="*/*")).status
    await until(running, "page", 3)
    assert HTML == (await pip.get(page("b"), accept=HTML)).headers["content-type"].partition(";")[0]
