"""A Release file, or a list and its signature, as upstream has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.apt.indexes import Indexes
from proxy.apt.release_fetcher import Reading, Torn, address_of
from proxy.apt.suite_history import Line, Lines
from proxy.apt.suites import Form
from proxy.errors import NotFound
from tests.apt.conftest import OLD, SITE, SUITE, World, beside, inline, listing
from tests.memory_upstream import Scripted

ONE, TWO = {"Packages": b"one"}, {"Packages": b"second"}


class Asked:
    """A line, and what reads it."""

    def __init__(self, world: World, form: Form) -> None:
        self.world = world
        self.line = Line(SUITE, form)
        self.lines = Lines(world.store, world.clock, Indexes(world.downloads, world.store), world.workers)
        parts = (world.upstream, world.bodies, world.clock, world.patience)
        self.reading = Reading(*parts, self.lines, world.workers)

    async def adopt(self) -> None:
        """Let what upstream has be the present snapshot."""
        found = await self.reading.found(self.line, SITE, anew=False)
        assert found is not None
        await self.lines.adopt(self.line, found)
        self.world.upstream.asks.clear()

    def asks(self) -> list[tuple[str, bool]]:
        """What upstream was asked for, and whether on a condition."""
        return [(ask.url.rpartition("/")[2], "If-Modified-Since" in ask.headers) for ask in self.world.upstream.asks]


async def test_found__unchanged(world: World) -> None:
    """Each file is asked for by its own date, and nothing is read twice."""
    for form, names in ((Form.INLINE, ["InRelease"]), (Form.DETACHED, ["Release", "Release.gpg"])):
        asked = Asked(world, form)
        world.put("InRelease", inline(ONE))
        world.put("Release", listing(ONE))
        world.put("Release.gpg", beside(listing(ONE)), modified=OLD + 1)
        await asked.adopt()

        found = await asked.reading.found(asked.line, SITE, anew=False)

        assert [(name, True) for name in names] == asked.asks()
        present = asked.line.present
        assert present is not None
        assert found is None or found.pair == present.pair


async def test_found__without_conditions(world: World) -> None:
    """What conditions would hide is seen when they are left out."""
    asked = Asked(world, Form.DETACHED)
    world.put("Release", listing(ONE))
    world.put("Release.gpg", beside(listing(ONE)))
    await asked.adopt()
    world.put("Release", listing(TWO))
    world.put("Release.gpg", beside(listing(TWO)))

    hidden = await asked.reading.found(asked.line, SITE, anew=False)
    seen = await asked.reading.found(asked.line, SITE, anew=True)

    assert asked.line.present is not None
    assert hidden is not None
    assert seen is not None
    assert hidden.pair == asked.line.present.pair != seen.pair
    assert 6 == seen.release.files["Packages"].size


@pytest.mark.parametrize("signed", [True, False])
async def test_found__signature_alone(world: World, signed: bool) -> None:
    """A signature that comes, goes or changes is found, though the list is the same."""
    asked = Asked(world, Form.DETACHED)
    world.put("Release", listing(ONE))
    if signed:
        world.put("Release.gpg", beside(b"another"))
    await asked.adopt()
    world.put("Release.gpg", beside(listing(ONE)), modified=OLD + 1)

    found = await asked.reading.found(asked.line, SITE, anew=False)

    present = asked.line.present
    assert present is not None
    assert found is not None
    assert found.name == present.name
    assert found.signature_name != present.signature_name
    assert ["Release", "Release.gpg", "Release"] == [name for name, _ in asked.asks()]


async def test_found__list_that_changes_each_time(world: World) -> None:
    """A pair that is never the same before and after is not taken."""
    asked = Asked(world, Form.DETACHED)
    bodies = [listing({"Packages": bytes(number)}) for number in range(9)]
    world.upstream.on(replace(SUITE, path=f"{SUITE.path}Release").url, *map(Scripted, bodies))
    world.put("Release.gpg", beside(bodies[0]))

    with pytest.raises(Torn):
        await asked.reading.found(asked.line, SITE, anew=False)


async def test_found__nothing(world: World) -> None:
    """404 of the list is told; 404 of the signature is an unsigned suite."""
    asked = Asked(world, Form.DETACHED)
    with pytest.raises(NotFound):
        await asked.reading.found(asked.line, SITE, anew=False)
    world.put("Release", listing(ONE))

    found = await asked.reading.found(asked.line, SITE, anew=False)

    assert found is not None
    assert found.signature is None


def test_address_of() -> None:
    """A file in the suite's folder."""
    line = Line(SUITE, Form.INLINE)

    assert "http://deb.example/debian/dists/stable/InRelease" == address_of(line, "InRelease")
