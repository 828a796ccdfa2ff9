"""Which files are fetched ahead, and which are looked at. `flows/test_foresight` has it with an upstream."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from msgspec import structs

from proxy.cache.representation import Representation
from proxy.foresight.background import Background
from proxy.foresight.downloads_ahead import DownloadsAhead
from proxy.foresight.environments import of_agent
from proxy.foresight.installs import Install
from proxy.model import Kind, Outcome, Source, Target
from proxy.python.outlook import Prospect
from tests.foresight.agents import agent

MIB = 1 << 20
ANSWER = Representation(b"", Kind.FILE, "pypi", "text/plain", "no-cache", None, Outcome.MISS, Source.UPSTREAM)


class World:
    """Pages and requests: what is known of files, what was looked at, and what was asked for."""

    idle = True

    def __init__(self, prospect: Prospect, real: int | None) -> None:
        self._prospect = prospect
        self.real = real  # bytes of each file, where its page is wrong
        self.looks: list[Target] = []
        self.asked: list[Target] = []

    async def prospect(self, target: Target) -> Prospect:
        self.looks.append(target)
        return self._prospect

    async def ask(self, _client: str, _install: Install, target: Target, kind: Kind) -> Representation:
        assert kind is Kind.FILE
        self.asked.append(target)
        size = self._prospect.size or 0
        return structs.replace(ANSWER, body=bytes(size if self.real is None else self.real))


class Crowded(Background):
    """Too much is under way but for the look itself."""

    def begin(self, work: Any) -> bool:
        if work.__name__ != "_fetch":
            return super().begin(work)
        work.close()
        return False


@pytest.fixture
def install() -> Install:
    """A client that took the metadata of a hundred wheels."""
    environment = of_agent(agent())
    assert environment is not None
    made = Install(environment)
    made.taken = {Target("pypi", None, f"w{number}.whl"): None for number in range(100)}
    return made


async def begun(
    install: Install,
    prospect: Prospect,
    most: int = 100 * MIB,
    *,
    times: int = 1,
    crowded: bool = False,
    real: int | None = None,
) -> World:
    """What comes of files that a client asks for."""
    world, background = World(prospect, real), Crowded() if crowded else Background()
    downloads = DownloadsAhead(cast("Any", world), cast("Any", world), background, most)
    for _ in range(times):
        downloads.begun("a", install, None)
        for _ in range(2000):
            await asyncio.sleep(0)
    await background.close()
    return world


async def test_begun__as_far_as_there_is_room(install: Install) -> None:
    """The next ones in their order, until the bound."""
    order = list(install.taken)
    assert order[:10] == (await begun(install, Prospect(MIB, free=True), 10 * MIB)).asked
    assert 10 * MIB == install.bytes_ahead


async def test_begun__larger_than_their_page_says(install: Install) -> None:
    """What came counts: not more than those that were on their way at once come past the bound."""
    world = await begun(install, Prospect(1, free=True), MIB, real=MIB)
    assert 4 >= len(world.asked)
    assert MIB * len(world.asked) == install.bytes_ahead


async def test_begun__without_a_size(install: Install) -> None:
    """No bound could be held: none is fetched, and each is looked at once, however many files the client asks for."""
    world = await begun(install, Prospect(None, free=True), times=10)
    assert ([], 100) == (world.asked, len(world.looks))


async def test_begun__from_a_host_without_room(install: Install) -> None:
    """A few are looked at, not all that there are."""
    world = await begun(install, Prospect(MIB, free=False))
    assert [] == world.asked
    assert len(world.looks) < 100


async def test_begun__too_much_under_way(install: Install) -> None:
    """What could not be begun counts for nothing: there is room for it later."""
    assert [] == (await begun(install, Prospect(MIB, free=True), times=5, crowded=True)).asked
    assert (0, 0) == (install.files, install.bytes_ahead)
    assert 100 == len((await begun(install, Prospect(MIB, free=True))).asked)
