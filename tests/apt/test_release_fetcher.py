"""A Release file, or a list and its signature, as upstream has them."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

import pytest

from proxy.apt import release
from proxy.apt.indexes import Indexes
from proxy.apt.release_fetcher import ReleaseFetcher, Torn, address_of
from proxy.apt.suite_history import SuiteHistories, SuiteHistory
from proxy.apt.suites import ReleaseForm
from proxy.errors import NotFound, TooLarge, UpstreamBroken
from proxy.model import Validator
from tests.apt.conftest import OLD, SITE, SUITE, World, beside, inline, listing
from tests.memory_upstream import Scripted

ONE, TWO = {"Packages": b"one"}, {"Packages": b"second"}


class Asked:
    """A history, and what fetches for it."""

    def __init__(self, world: World, form: ReleaseForm) -> None:
        self.world = world
        self.history = SuiteHistory(SUITE, form)
        self.histories = SuiteHistories(world.store, world.clock, Indexes(world.downloads, world.store), world.workers)
        ports = (world.store, world.upstream, world.clock)
        self.fetcher = ReleaseFetcher(*ports, world.bodies, world.patience, world.workers)

    async def adopt(self) -> None:
        """Let what upstream has be the present snapshot."""
        found = await self.fetcher.fetch(self.history, SITE, unconditional=False)
        assert found is not None
        await self.histories.adopt(self.history, found)
        self.world.upstream.asks.clear()

    def asks(self) -> list[tuple[str, bool]]:
        """What upstream was asked for, and whether on a condition."""
        return [(ask.url.rpartition("/")[2], "If-Modified-Since" in ask.headers) for ask in self.world.upstream.asks]


async def test_fetch(world: World) -> None:
    """The body as it came, what upstream said of it, and its own clock; asked for as apt asks, and then by ETag."""
    asked = Asked(world, ReleaseForm.INLINE)
    now = formatdate(OLD + 60, usegmt=True)
    date = formatdate(OLD, usegmt=True)
    headers = {"ETag": '"1"', "Last-Modified": date, "Date": now, "Content-Encoding": "gzip"}
    answer = Scripted(inline(ONE), headers=headers, url="http://other.example/InRelease")
    world.upstream.on(address_of(asked.history, "InRelease"), answer, Scripted(status=304))

    found = await asked.fetcher.fetch(asked.history, SITE, unconditional=False)

    assert found is not None
    entry = found.listing.entry
    assert ("http://other.example/InRelease", Validator('"1"', date), release.digest(inline(ONE))) == (
        entry.url,
        entry.validator,
        entry.digest,
    )
    assert found.listing.settled
    asked.history.recent = [found]
    assert await asked.fetcher.fetch(asked.history, SITE, unconditional=False) is None
    plain = {"Cache-Control": "max-age=0"}
    assert [plain, {**plain, "If-None-Match": '"1"', "If-Modified-Since": date}] == [
        ask.headers for ask in world.upstream.asks
    ]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Scripted(bytes(release.MOST + 1)), TooLarge),
        (Scripted(status=404), NotFound),
        (Scripted(status=304), UpstreamBroken),
        (Scripted(inline(ONE), cut=50), UpstreamBroken),
        (Scripted(inline(ONE)[:-20]), UpstreamBroken),
    ],
)
async def test_fetch__refused(world: World, script: Scripted, error: type[Exception]) -> None:
    """Too much, nothing, or less than there should be."""
    asked = Asked(world, ReleaseForm.INLINE)
    world.upstream.on(address_of(asked.history, "InRelease"), script)

    with pytest.raises(error):
        await asked.fetcher.fetch(asked.history, SITE, unconditional=False)


async def test_fetch__unchanged(world: World) -> None:
    """Each file is asked for by its own date, and nothing is read twice."""
    for form, names in ((ReleaseForm.INLINE, ["InRelease"]), (ReleaseForm.DETACHED, ["Release", "Release.gpg"])):
        asked = Asked(world, form)
        world.put("InRelease", inline(ONE))
        world.put("Release", listing(ONE))
        world.put("Release.gpg", beside(listing(ONE)), modified=OLD + 1)
        await asked.adopt()

        found = await asked.fetcher.fetch(asked.history, SITE, unconditional=False)

        assert [(name, True) for name in names] == asked.asks()
        present = asked.history.present
        assert present is not None
        assert (None if form is ReleaseForm.INLINE else present.pair) == (found.pair if found else None)


async def test_fetch__without_conditions(world: World) -> None:
    """What conditions would hide is seen when they are left out."""
    asked = Asked(world, ReleaseForm.DETACHED)
    world.put("Release", listing(ONE))
    world.put("Release.gpg", beside(listing(ONE)))
    await asked.adopt()
    world.put("Release", listing(TWO))
    world.put("Release.gpg", beside(listing(TWO)))

    hidden = await asked.fetcher.fetch(asked.history, SITE, unconditional=False)
    seen = await asked.fetcher.fetch(asked.history, SITE, unconditional=True)

    assert asked.history.present is not None
    assert hidden is not None
    assert seen is not None
    assert hidden.pair == asked.history.present.pair != seen.pair
    assert 6 == seen.release.files["Packages"].size


@pytest.mark.parametrize("signed", [True, False])
async def test_fetch__signature_alone(world: World, signed: bool) -> None:
    """A signature that comes, goes or changes is found, though the list is the same."""
    asked = Asked(world, ReleaseForm.DETACHED)
    world.put("Release", listing(ONE))
    if signed:
        world.put("Release.gpg", beside(b"another"))
    await asked.adopt()
    world.put("Release.gpg", beside(listing(ONE)), modified=OLD + 1)

    found = await asked.fetcher.fetch(asked.history, SITE, unconditional=False)

    present = asked.history.present
    assert present is not None
    assert found is not None
    assert found.name == present.name
    assert found.signature_name != present.signature_name
    assert ["Release", "Release.gpg", "Release"] == [name for name, _ in asked.asks()]


@pytest.mark.parametrize("body", [beside(listing(ONE))[:-20], b"", b"<html>Please log in</html>"])
async def test_fetch__signature_that_is_none(world: World, body: bytes) -> None:
    """A signature without its end, an empty file or a page is no other signature."""
    asked = Asked(world, ReleaseForm.DETACHED)
    world.put("Release", listing(ONE))
    world.put("Release.gpg", beside(listing(ONE)))
    await asked.adopt()
    world.put("Release.gpg", body, modified=OLD + 1)

    with pytest.raises(UpstreamBroken):
        await asked.fetcher.fetch(asked.history, SITE, unconditional=False)


async def test_fetch__list_that_changes_each_time(world: World) -> None:
    """A pair that is never the same before and after is not taken."""
    asked = Asked(world, ReleaseForm.DETACHED)
    bodies = [listing({"Packages": bytes(number)}) for number in range(9)]
    world.upstream.on(replace(SUITE, path=f"{SUITE.path}Release").url, *map(Scripted, bodies))
    world.put("Release.gpg", beside(bodies[0]))

    with pytest.raises(Torn):
        await asked.fetcher.fetch(asked.history, SITE, unconditional=False)


async def test_fetch__nothing(world: World) -> None:
    """404 of the list is an error; 404 of the signature is an unsigned suite."""
    asked = Asked(world, ReleaseForm.DETACHED)
    with pytest.raises(NotFound):
        await asked.fetcher.fetch(asked.history, SITE, unconditional=False)
    world.put("Release", listing(ONE))

    found = await asked.fetcher.fetch(asked.history, SITE, unconditional=False)

    assert found is not None
    assert found.signature is None


def test_address_of() -> None:
    """A file in the suite's folder."""
    history = SuiteHistory(SUITE, ReleaseForm.INLINE)

    assert "http://deb.example/debian/dists/stable/InRelease" == address_of(history, "InRelease")
