"""Requests ahead of clients: their turn, and what ends them. `flows/test_foresight` has them with an upstream."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any, cast

import pytest
from msgspec import structs

from proxy.cache import freshness
from proxy.cache.documents import Documents, WantedDocument
from proxy.cache.representation import Representation
from proxy.errors import (
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.events import Event, Foreseen
from proxy.foresight.environments import of_agent
from proxy.foresight.installs import Install
from proxy.foresight.requests_ahead import Bounds, RequestsAhead
from proxy.model import Kind, Outcome, Query, Source, Target
from proxy.python.routes import Elsewhere
from tests.cache.conftest import SITE, HandClock, documents_of
from tests.flows.asking import SteppedClock
from tests.foresight.agents import agent
from tests.memory_store import MemoryStore
from tests.memory_upstream import Gate, MemoryUpstream
from tests.memory_upstream import Scripted as Upstreams

PAGE, TWIN, OTHER = (Target(mount, None, "simple/demo/") for mount in ("pypi", "twin", "other"))
METADATA = Target("pypi", None, "demo-1-py3-none-any.whl.metadata")
ANSWER = Representation(b"12345", Kind.METADATA, "pypi", "text/plain", "no-cache", None, Outcome.MISS, Source.UPSTREAM)


class Indexes:
    """A service that gives one answer."""

    def __init__(self, answer: object, gate: asyncio.Event | None = None) -> None:
        self.answer_is = answer
        self.gate = gate
        self.queries: list[Query[Target]] = []
        self.stored = 7  # bytes of each page

    @property
    def outlook(self) -> Indexes:
        return self

    def host(self, mount: str) -> str:
        return "index.example" if mount in {"pypi", "twin"} else "other.example"

    def page_size(self, _: Target) -> int:
        return self.stored

    async def answer(self, query: Query[Target]) -> Any:
        self.queries.append(query)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer_is, Exception):
            raise self.answer_is
        return self.answer_is


class World:
    """Requests ahead of one client."""

    def __init__(self, answer: object, gate: asyncio.Event | None = None, **bounds: Any) -> None:
        environment = of_agent(agent())
        assert environment is not None
        self.install = Install(environment, "text/html", "gzip", "http://10.0.0.1:80")
        self.clock, self.indexes, self.events = SteppedClock(), Indexes(answer, gate), list[Event]()
        self.ahead = RequestsAhead(cast("Any", self.indexes), self.events.append, self.clock, Bounds(**bounds))

    async def ask(self, target: Target = METADATA, kind: Kind = Kind.METADATA, client: str = "a") -> object:
        return await self.ahead.ask(client, self.install, target, kind)

    @property
    def told(self) -> list[tuple[str, int]]:
        return [(event.outcome, event.size) for event in self.events if isinstance(event, Foreseen)]


async def test_ask__as_the_client_would() -> None:
    """Pages in the form that it takes; never with credentials, and never to be redirected."""
    world = World(ANSWER)
    assert ANSWER is await world.ask()
    await world.ask(PAGE, Kind.PAGE)
    metadata, page = world.indexes.queries
    assert (None, "", "text/html", "http://10.0.0.1:80") == (metadata.accept, metadata.base, page.accept, page.base)
    assert {(True, None)} == {(query.ahead, query.authorization) for query in (metadata, page)}
    assert [("fetched", 5), ("fetched", 5)] == world.told[:2]


async def test_ask__what_was_here_does_not_count() -> None:
    """Nor what came for another client, nor a redirect."""
    world = World(structs.replace(ANSWER, outcome=Outcome.HIT))
    assert (await world.ask()) is not None
    world.indexes.answer_is = structs.replace(ANSWER, outcome=Outcome.SHARED)
    assert (await world.ask()) is not None
    world.indexes.answer_is = Elsewhere("x/")
    assert await world.ask() is None
    assert [] == world.told


@pytest.mark.parametrize("error", [UpstreamThrottled("no"), UpstreamTimeout("no"), UpstreamBroken("no")])
async def test_ask__upstream_in_trouble(error: PullthroughError) -> None:
    """It gets none for a while, by no mount; other upstreams do. What is said of one address says nothing of others."""
    world = World(NotFound("no"))
    assert await world.ask() is None
    world.indexes.answer_is = error
    assert await world.ask() is None
    world.indexes.answer_is = ANSWER
    assert [None, None] == [await world.ask(), await world.ask(TWIN, Kind.PAGE)]
    assert await world.ask(OTHER, Kind.PAGE) is ANSWER
    assert 3 == len(world.indexes.queries)
    world.clock.advance(61.0)
    assert await world.ask() is ANSWER


async def test_ask__upstream_in_trouble_now_and_then() -> None:
    """What it answers meanwhile ends the row of failures: each is a first one, and the pause stays short."""
    world = World(ANSWER)
    for _ in range(4):
        world.indexes.answer_is = UpstreamBroken("no")
        assert await world.ask() is None
        world.clock.advance(11.0)
        world.indexes.answer_is = ANSWER
        assert await world.ask() is ANSWER


async def test_ask__what_is_not_kept() -> None:
    """A page that may not be stored, or for which there is no room, came in vain: no more for a while."""
    world = World(structs.replace(ANSWER, kind=Kind.PAGE))
    world.indexes.stored = 0
    assert await world.ask(PAGE, Kind.PAGE) is not None
    assert await world.ask() is None
    assert await world.ask(OTHER, Kind.PAGE) is not None
    world.clock.advance(61.0)
    world.indexes.stored = 7
    assert [True, True] == [await world.ask(page, Kind.PAGE) is not None for page in (PAGE, PAGE)]


async def test_ask__as_long_as_upstream_says() -> None:
    """A Retry-After counts."""
    world = World(UpstreamThrottled("no", retry_after=300))
    assert await world.ask() is None
    world.indexes.answer_is = ANSWER
    world.clock.advance(299.0)
    assert await world.ask() is None
    world.clock.advance(2.0)
    assert await world.ask() is ANSWER


@pytest.mark.parametrize(
    ("error", "seconds"), [(UpstreamThrottled("no", retry_after=60), 60.0), (UpstreamUnreachable("no"), 10.0)]
)
async def test_failed(error: PullthroughError, seconds: float) -> None:
    """What a client met counts for all mounts of its host: as long as upstream says, and never for longer."""
    world = World(ANSWER)
    for _ in range(4):
        world.ahead.failed("twin", error)
        world.clock.advance(seconds - 1.0)
        assert (None, ANSWER) == (await world.ask(), await world.ask(OTHER, Kind.PAGE))
        world.clock.advance(2.0)
    assert await world.ask() is ANSWER


async def test_ask__client_that_hurries() -> None:
    """One that asks for much at once gets no help with pages and metadata."""
    world = World(ANSWER)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(world.ahead.question("a"))
        assert world.ahead.hurries("a")
        assert await world.ask() is None
        assert await world.ask(client="b") is ANSWER
        assert await world.ask(kind=Kind.FILE) is ANSWER
    assert await world.ask() is ANSWER


async def test_ask__at_once() -> None:
    """Half of the requests are for files, and no more are under way at once."""
    gate = asyncio.Event()
    world = World(ANSWER, gate, requests=6)
    asking = [asyncio.create_task(world.ask(Target("pypi", None, str(n)), Kind.PAGE, f"c{n}")) for n in range(10)]
    asking += [asyncio.create_task(world.ask(Target("pypi", None, f"f{n}"), Kind.FILE, f"c{n}")) for n in range(10)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert ["0", "1", "2", "f0", "f1", "f2"] == sorted(query.target.path for query in world.indexes.queries)
    gate.set()
    assert [True] * 20 == [answer is ANSWER for answer in await asyncio.gather(*asking)]


class StoredPages(Indexes):
    """A service of pages that all are stored."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(ANSWER)
        self._documents = documents

    async def answer(self, query: Query[Target]) -> Any:
        name = query.target.path
        document = await self._documents.get(WantedDocument(name, stored_url(name), SITE, "", ahead=query.ahead))
        return structs.replace(ANSWER, kind=Kind.PAGE, outcome=document.outcome)


def stored_url(name: str) -> str:
    """Where upstream has a page."""
    return f"https://index.example/simple/{name}/"


@pytest.mark.parametrize(
    ("answer", "ends"),
    [(Upstreams(b"page", gate=Gate()), False), (Upstreams(error=UpstreamThrottled("no", 60)), True)],
)
async def test_ask__expired_pages(answer: Upstreams, ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred pages of yesterday as many are asked for at once as may be, and none after the first refusal."""
    monkeypatch.setattr(freshness, "_SECONDS", 0.001)  # that a client would wait
    clock, upstream, names = HandClock(), MemoryUpstream(), [f"p{number}" for number in range(100)]
    documents = documents_of(MemoryStore(), upstream, clock)
    for name in names:
        upstream.on(stored_url(name), Upstreams(b"page", headers={"ETag": '"1"'}), answer)
        await documents.get(WantedDocument(name, stored_url(name), SITE, ""))
    clock.advance(SITE.ttl + 1)
    world = World(ANSWER)
    ahead = RequestsAhead(cast("Any", StoredPages(documents)), world.events.append, clock, Bounds())
    upstream.asks.clear()
    asking = [
        asyncio.create_task(ahead.ask("a", world.install, Target("pypi", None, name), Kind.PAGE)) for name in names
    ]
    done, _ = await asyncio.wait(asking, timeout=None if ends else 0.1)
    assert (8, 100 if ends else 0) == (len(upstream.asks), len(done))
    assert {True} == {request.bulk for request in upstream.asks}
    assert documents._patience.seconds(stored_url("p0")) > 0
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await documents.close()


async def test_step_back() -> None:
    """Whoever waits for it goes on when nothing is under way there any more, and nothing more is asked for a while."""
    gate = asyncio.Event()
    world = World(ANSWER, gate)
    assert (True, False) == (world.ahead.idle, world.ahead.concerns("pypi"))
    asking = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    assert [True, True, False] == [world.ahead.concerns(mount) for mount in ("pypi", "twin", "other")]
    assert not world.ahead.idle
    world.ahead.failed("pypi", UpstreamBroken("no"))
    stepping = asyncio.create_task(world.ahead.step_back("pypi"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not stepping.done()
    assert await world.ask(PAGE, Kind.PAGE) is None
    gate.set()
    await stepping
    assert (await asking, 1) == (ANSWER, len(world.indexes.queries))
    assert await world.ask(PAGE, Kind.PAGE) is None  # whatever came of what was under way
    assert (False, True) == (world.ahead.idle, world.ahead.concerns("pypi"))
    world.clock.advance(1.5)
    assert (True, False) == (world.ahead.idle, world.ahead.concerns("pypi"))


async def test_foresaw() -> None:
    """Once, for what was asked for ahead."""
    world = World(ANSWER)
    await world.ask()
    assert [True, False] == [world.ahead.foresaw(METADATA) for _ in range(2)]
    assert [("fetched", 5), ("used", 5)] == world.told
