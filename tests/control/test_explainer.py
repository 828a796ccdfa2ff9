"""Which address is meant, and who knows of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from proxy.apt.catalog import Catalog
from proxy.apt.forecasts import ArchiveForecasts
from proxy.apt.policy import Policy
from proxy.cache.flight import Flight, WantedFile
from proxy.cache.forecast import DecidingSetting, Verdict
from proxy.control.explainer import Explainer, RunningFacts
from proxy.control.explanation import ExplainWish, RecentFailure
from proxy.model import Digest, Entry, Site, Validator
from proxy.python.forecasts import IndexForecasts
from proxy.status import FailureStatus
from tests.control.stores import StoppedClock
from tests.memory_store import MemoryStore, stored
from tests.memory_upstream import MemoryUpstream

_SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
_WHEEL = "demo-1.0-py3-none-any.whl"


class World:
    """A store, and an explainer of a cache that runs or does not."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.store = MemoryStore()
        self.upstream = MemoryUpstream()
        self.failures: list[FailureStatus] = []
        self.flights: list[Flight] = []

    def explainer(self, *, running: bool = True, offline: bool = False, policy: Policy | None = None) -> Explainer:
        """One that knows the names of this cache."""
        clock = StoppedClock()
        catalog = Catalog(self.store, clock)
        self.stack.push_async_callback(catalog.close)
        explainer = Explainer(
            IndexForecasts({"pypi": _SITE}, (), self.store, clock),
            ArchiveForecasts(policy or Policy(), self.store, catalog, clock),
            frozenset({"cache.example"}),
            RunningFacts(self.upstream, lambda: self.flights, lambda: self.failures) if running else None,
            offline=offline,
        )
        self.stack.push_async_callback(explainer.close)
        return explainer

    async def hold(self, key: str) -> None:
        """Have something stored, confirmed long ago."""
        blob = await stored(self.store, b"x")
        await self.store.save(Entry(key, "https://index.example/x", blob.digest, 1, "", Validator(), 1.0, 1.0))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Nothing is stored."""
    async with AsyncExitStack() as stack:
        yield World(stack)


@pytest.mark.parametrize(
    ("url", "kind", "address"),
    [
        ("/pypi/simple/demo/", "page", "/pypi/simple/demo/"),
        ("/pypi/simple/demo/?format=x#y", "page", "/pypi/simple/demo/"),
        ("http://127.0.0.1:3142/pypi/simple/demo/", "page", "/pypi/simple/demo/"),
        ("http://[::1]:3142/pypi/simple/demo/", "page", "/pypi/simple/demo/"),
        ("http://localhost/pypi/simple/demo/", "page", "/pypi/simple/demo/"),
        ("HTTP://user:secret@Cache.Example:80/pypi/simple/demo/", "page", "/pypi/simple/demo/"),
        ("https://index.example/simple/demo/?token=secret", "page", "/pypi/simple/demo/"),
        (f"https://index.example/packages/{_WHEEL}", "file", f"/pypi/packages/{_WHEEL}"),
        (f"https://files.example/a/{_WHEEL}", "file", f"/pypi/~files/files.example/a/{_WHEEL}"),
        ("/deb.example/debian/pool/d/demo_1_amd64.deb", "file", "/deb.example/debian/pool/d/demo_1_amd64.deb"),
        ("http://deb.example/debian/dists/a/InRelease", "release", "/deb.example/debian/dists/a/InRelease"),
        ("https://deb.example/debian/dists/a/InRelease", "release", "/HTTPS///deb.example/debian/dists/a/InRelease"),
        ("http://10.0.0.7/debian/dists/a/InRelease", "release", "/10.0.0.7/debian/dists/a/InRelease"),
        ("http://127.0.0.1:3142/deb.example/debian/dists/a/InRelease", "release",
         "/deb.example/debian/dists/a/InRelease"),
        ("/", "own", "/"),
        ("http://localhost:3142/metrics", "own", "/metrics"),
        ("http://web.example/index.html", "archive", "/web.example/index.html"),
    ],
)  # fmt: skip
async def test_explain__addresses(world: World, url: str, kind: str, address: str) -> None:
    """By path, whole, and as upstream has it; a query never counts, and no secret is repeated."""
    found = await world.explainer().explain(ExplainWish(url))
    assert (kind, address) == (found.forecast.kind, found.forecast.address)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("url", "kind", "address"),
    [
        ("http://cache.example/debian/dists/a/InRelease", "release", "/cache.example/debian/dists/a/InRelease"),
        ("http://localhost:8080/debian/dists/a/InRelease", "release", "/localhost:8080/debian/dists/a/InRelease"),
        ("http://cache.example/pypi/simple/demo/", "page", "/pypi/simple/demo/"),
        ("http://localhost:3142/debian/dists/a/InRelease", "nothing", None),
        ("http://cache.example/ubuntu/../x", "nothing", None),
    ],
)
async def test_explain__archive_on_the_machine_of_the_cache(
    world: World, url: str, kind: str, address: str | None
) -> None:
    """What the settings name as an archive is one, though the host is the cache's own."""
    policy = Policy(frozenset({"cache.example", "localhost:8080"}))
    found = (await world.explainer(policy=policy).explain(ExplainWish(url))).forecast
    assert (kind, address) == (found.kind, found.address or None)


@pytest.mark.parametrize(
    "url",
    ["no address", "ftp://x/", "/nowhere/simple/demo/", "/pypi/../x", "http://user:secret@/", "http://a b/", "/pypi"],
)  # fmt: skip
async def test_explain__nothing_there(world: World, url: str) -> None:
    """What nobody can ask for is refused, with the reason that a client would get."""
    found = await world.explainer().explain(ExplainWish(url))
    assert ("nothing", Verdict.REFUSE) == (found.forecast.kind, found.forecast.verdict)
    assert found.forecast.why[0]
    assert "secret" not in repr(found)


async def test_explain__file_of_a_known_project(world: World) -> None:
    """A project whose page is stored tells the mount, whatever the file's host."""
    await world.hold("page:pypi:odd:simple/odd/")
    found = await world.explainer().explain(ExplainWish("https://files.example/a/odd-1.0.tar.lz"))
    assert "pypi" == found.forecast.mount


async def test_explain__running(world: World) -> None:
    """What a running cache knows of the upstream that it is: the last failures, the newest first."""
    world.failures = [FailureStatus(9.0 - number, mount, "timeout") for number in range(9) for mount in ("pypi", "apt")]
    found = await world.explainer().explain(ExplainWish("/pypi/simple/demo/"))
    assert (True, False) == (found.running, found.down)
    assert tuple(RecentFailure(9.0 - number, "timeout") for number in range(5)) == found.failures


async def test_explain__down(world: World) -> None:
    """A host that failed a moment ago is not asked; the program's own pages have none."""
    explainer = world.explainer()
    for path in ("simple/demo/", f"packages/{_WHEEL}"):
        assert not (await explainer.explain(ExplainWish(f"/pypi/{path}"))).down
        world.upstream.down_urls.add(f"https://index.example/{path}")
        assert (await explainer.explain(ExplainWish(f"/pypi/{path}"))).down
    assert not (await explainer.explain(ExplainWish("/metrics"))).down


async def test_explain__not_running(world: World) -> None:
    """Nothing is known of upstream."""
    world.upstream.down_urls.add("https://index.example/simple/demo/")
    found = await world.explainer(running=False).explain(ExplainWish("/pypi/simple/demo/"))
    assert (False, False, ()) == (found.running, found.down, found.failures)


async def test_explain__offline(world: World) -> None:
    """What is stored is sent, however old; what is not is refused; what needs no upstream stays as it is."""
    await world.hold("page:pypi:demo:simple/demo/")
    explainer = world.explainer(offline=True)
    asked = {
        "/pypi/simple/demo/": Verdict.HIT,
        "/pypi/simple/other/": Verdict.REFUSE,
        "/pypi/simple/": Verdict.REFUSE,
        "/metrics": Verdict.OWN,
        "/pypi/simple/demo": Verdict.REDIRECT,
    }
    for url, verdict in asked.items():
        forecast = (await explainer.explain(ExplainWish(url))).forecast
        assert verdict is forecast.verdict
        own = verdict in {Verdict.HIT, Verdict.REFUSE}
        assert own == (forecast.settings[:1] == (DecidingSetting("offline", "true"),))


async def test_explain__under_way_for_another_address(world: World) -> None:
    """Two addresses of one digest share a download, unless two files may have been made with it."""
    for algorithm, value, verdict in (("SHA256", "ab" * 32, Verdict.SHARED), ("MD5Sum", "ab" * 16, Verdict.FETCH)):
        url = f"/deb.example/debian/dists/a/main/binary-amd64/by-hash/{algorithm}/{value}"
        promised = Digest("sha256" if algorithm == "SHA256" else "md5", value)
        world.flights = [Flight(WantedFile("other", "https://mirror.example/x", _SITE, promised))]
        assert verdict is (await world.explainer().explain(ExplainWish(url))).forecast.verdict


async def test_explain__under_way(world: World) -> None:
    """A client follows the download of the very file, and no other."""
    url = f"/pypi/packages/{_WHEEL}"
    world.flights = [Flight(WantedFile("other", "https://index.example/packages/other.whl", _SITE))]
    assert Verdict.FETCH is (await world.explainer().explain(ExplainWish(url))).forecast.verdict
    world.flights = [Flight(WantedFile("file", f"https://index.example/packages/{_WHEEL}?token=secret", _SITE))]
    assert Verdict.SHARED is (await world.explainer().explain(ExplainWish(url))).forecast.verdict
    await world.hold(f"file:pypi:demo::packages/{_WHEEL}")
    assert Verdict.HIT is (await world.explainer().explain(ExplainWish(url))).forecast.verdict
