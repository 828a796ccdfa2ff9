"""What stored pages say of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from proxy.model import Site, Target
from proxy.python.stored_listings import StoredListing, StoredListings
from tests.pages import Link
from tests.python.conftest import Make
from tests.python.world import PAGE, SITE, World, digest
from tests.wheels import wheel

_WHEEL = wheel()
_AT = Target("pypi", None, f"packages/{_WHEEL.filename}")
_URL = f"{SITE.base}packages/{_WHEEL.filename}"


@pytest.fixture
async def listings(world: World) -> AsyncIterator[StoredListings]:
    """Those of the world's store."""
    made = StoredListings(world.store)
    yield made
    await made.close()


async def test_of__nothing_stored(listings: StoredListings) -> None:
    """Nothing is known, and nobody is asked."""
    assert StoredListing() == await listings.of(_AT, SITE)


async def test_of__the_newest_with_a_digest(world: World, listings: StoredListings) -> None:
    """Of two pages that list it, the one counts that gives its digest; both are shown, the newer one first."""
    world.publish(Link(_WHEEL.filename, _URL, _WHEEL.sha256))
    await world.page()
    world.clock.advance(1)
    other = structs.replace(PAGE, path="simple/other/demo/")
    world.publish(Link(_WHEEL.filename, _URL), target=other)
    await world.page(other)

    found = await listings.of(_AT, SITE)

    assert [("simple/other/demo/", True), ("simple/demo/", True)] == [(page.path, on) for page, _, on in found.pages]
    assert found.file is not None
    assert digest(_WHEEL) == found.file.best_digest


async def test_of__other_address(world: World, listings: StoredListings) -> None:
    """A file of the same name elsewhere is another one."""
    world.publish(Link(_WHEEL.filename, _URL, _WHEEL.sha256))
    await world.page()

    found = await listings.of(structs.replace(_AT, path=f"old/{_WHEEL.filename}"), SITE)

    assert ([False], None) == ([on for *_, on in found.pages], found.file)


async def test_of__flat_page(make: Make) -> None:
    """A page of no single project may list it, too."""
    site = Site("flat", "https://flat.example/", "", 600.0, flat=True)
    world = make(site)
    page = Target("flat", None, "links/")
    world.publish(Link(_WHEEL.filename, f"https://flat.example/links/{_WHEEL.filename}"), target=page)
    await world.page(page, "")
    listings = StoredListings(world.store)

    found = await listings.of(Target("flat", None, f"links/{_WHEEL.filename}"), site)

    assert [True] == [on for *_, on in found.pages]
    await listings.close()


@pytest.mark.parametrize("gone", [True, False])
async def test_of__page_that_cannot_be_read(world: World, listings: StoredListings, gone: bool) -> None:
    """What is damaged, or is no index page, says nothing."""
    entry = await world.hold(_AT, b"no index page at all")
    await world.store.save(structs.replace(entry, key="page:pypi:demo:simple/demo/", url=f"{SITE.base}simple/demo/"))
    if gone:
        world.store.damage(entry.digest, b"x")

    assert StoredListing() == await listings.of(_AT, SITE)


async def test_of__stranger(world: World, listings: StoredListings) -> None:
    """A page from a host that does not count as the index's own says nothing."""
    world.publish(Link(_WHEEL.filename, _URL, _WHEEL.sha256))
    await world.page()

    assert StoredListing() == await listings.of(_AT, structs.replace(SITE, base="https://x.example/", own=frozenset()))
