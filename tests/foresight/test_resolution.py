"""From metadata to pages and metadata. `flows/test_foresight` has it with an upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from msgspec import structs

from proxy.cache.representation import Representation
from proxy.foresight.background import Background
from proxy.foresight.environments import of_agent
from proxy.foresight.installs import Install
from proxy.foresight.resolution import Resolution
from proxy.model import Kind, Outcome, Source, Target
from proxy.python.page import File
from tests.foresight.agents import agent
from tests.memory_store import MemoryStore
from tests.wheels import Package, wheel

METADATA = Representation(b"", Kind.METADATA, "pypi", "text/plain", "", None, Outcome.MISS, Source.UPSTREAM)


def page(name: str) -> Target:
    """The address of a project's page."""
    return Target("pypi", None, f"simple/{name}/")


def place(package: Package) -> Target:
    """The address of a file."""
    return Target("pypi", None, f"packages/{package.filename}")


class World:
    """An index with one wheel of each project, and what was asked for ahead."""

    def __init__(self, *packages: Package, cheap: bool = True) -> None:
        environment = of_agent(agent())
        assert environment is not None
        self._packages = {package.project: package for package in packages}
        self._cheap = cheap
        self.hurry = False
        self.asked: list[str] = []
        self.install = Install(environment)
        self.background = Background()
        self.resolution = Resolution(cast("Any", self), MemoryStore(), cast("Any", self), self.background)

    async def took(self, package: Package, body: bytes | None = None, mount: str = "pypi") -> list[str]:
        """A client looked for a project, and took this metadata of it. What is asked for ahead then."""
        wheel_ = structs.replace(place(package), mount=mount)
        self.install.asked_page(package.project, structs.replace(page(package.project), mount=mount))
        project = self.install.took_metadata(package.project, wheel_)
        assert project is not None
        answer = structs.replace(METADATA, body=body or package.metadata or b"")
        await self.resolution.taken("a", self.install, package.project, project, answer)
        while self.background._tasks:
            await asyncio.sleep(0.001)
        return self.asked

    async def close(self) -> None:
        await self.background.close()
        await self.resolution.close()

    # What is stored of pages, and who asks ahead.

    def beside(self, at: Target, project: str) -> Target:
        assert at.path.startswith("simple/")
        return structs.replace(page(project), mount=at.mount)

    def first(self, at: Target) -> Target:
        return structs.replace(at, mount="pypi") if at.mount == "all" else at

    def is_cheap(self, _: object) -> bool:
        return self._cheap

    def place(self, link: File, at: Target) -> Target:
        return Target(at.mount, None, f"packages/{link.filename}")

    async def links(self, at: Target) -> Sequence[File]:
        package = self._packages.get(at.path.split("/")[1])
        return [] if package is None else [File(package.filename, f"https://files.example/{package.filename}")]

    def hurries(self, _: str) -> bool:
        return self.hurry

    async def ask(self, _client: str, _install: Install, target: Target, _kind: Kind) -> Representation:
        self.asked.append(target.path if target.mount == "pypi" else f"{target.mount}: {target.path}")
        name = target.path.rpartition("/")[2].partition("-")[0]
        return structs.replace(METADATA, body=(self._packages[name].metadata or b"") if name else b"")


A, B, C = wheel("a", requires=("b[x]>=1",)), wheel("b", requires=("c; extra=='x'", "a")), wheel("c")


async def test_taken__and_so_on() -> None:
    """Page, metadata, what that requires; a circle ends."""
    world = World(A, B, C)
    assert [
        "simple/b/",
        f"packages/{B.filename}.metadata",
        "simple/c/",
        f"packages/{C.filename}.metadata",
    ] == await world.took(A)
    await world.close()


async def test_taken__of_another_index() -> None:
    """What a wheel requires is looked for on the index that gave it: elsewhere its names may be known to nobody."""
    web, fork, patches = wheel("web", requires=("fork",)), wheel("fork", requires=("patches",)), wheel("patches")
    world = World(web, cheap=False)
    assert ["simple/fork/"] == await world.took(web)
    assert ["simple/fork/", "private: simple/patches/"] == await world.took(fork, mount="private")
    assert 2 == len(world.install.projects["fork"].pages)
    assert 2 == len(await world.took(patches, mount="private"))
    await world.close()


async def test_taken__of_a_group() -> None:
    """What a wheel of its first member requires is looked for there, as the client will."""
    world = World(A, B, C, cheap=False)
    world.install.asked_page("a", structs.replace(page("a"), mount="all"))
    assert ["simple/b/"] * 2 == await world.took(A)
    project = world.install.projects["b"]
    assert ["all", "pypi"] == [at.mount for at in project.pages]
    await world.close()


async def test_taken__where_metadata_costs_a_wheel() -> None:
    """Only pages are asked for."""
    world = World(A, B, C, cheap=False)
    assert ["simple/b/"] == await world.took(A)
    await world.close()


async def test_taken__client_that_hurries() -> None:
    """It asks for all of it itself."""
    world = World(A, B, C)
    world.hurry = True
    assert [] == await world.took(A)
    await world.close()


@pytest.mark.parametrize("filler", [b"\n" + bytes(2 << 20), b"\nX: " + b"x" * (2 << 20)])
async def test_taken__long_metadata(filler: bytes) -> None:
    """More than any real one is not read."""
    world = World(A, B, C)
    assert [] == await world.took(A, b"Requires-Dist: b\n" + filler)
    await world.close()


async def test_taken__itself() -> None:
    """A project that requires itself is not looked for; with its extras it requires more."""
    demo = wheel("demo", requires=("demo[all]", "c; extra=='all'", "demo>=1"))
    world = World(demo, C)
    assert ["simple/c/", f"packages/{C.filename}.metadata"] == await world.took(demo)
    await world.close()


async def test_taken__many_requirements() -> None:
    """While a thousand of them are taken in, others have their turns."""
    many = wheel("many", requires=tuple(f"p{number}>=1,<3,!=2" for number in range(1000)))
    world = World(many)
    taking = asyncio.create_task(world.took(many))
    while not world.asked:
        await asyncio.sleep(0)
    assert len(world.install.projects) < 500
    assert 1000 == len(await taking)
    await world.close()
