"""Index pages that an import puts in place of others."""

from __future__ import annotations

import pytest
from msgspec import structs

from proxy.model import Entry, Validator
from proxy.python.imported_pages import ImportedPages
from proxy.python.store_keys import page_key, removed_key
from proxy.python.supplements import REMOVED
from tests.memory_store import stored
from tests.pages import JSON, as_json
from tests.python.conftest import Make
from tests.python.test_supplements import KEY, NEW, NEW_LINK, OLD, OLD_LINK, URL, at
from tests.python.world import SITE, World, content
from tests.wheels import Package, wheel

OTHER = wheel(version="0.5", padding=100, seed=3)
OTHER_LINK = OTHER.link(URL + OTHER.filename)


def pages(world: World) -> ImportedPages:
    """Those of a cache that serves."""
    return ImportedPages(world.sites, world.page_cache, world.supplements)


async def came(
    world: World, body: bytes, key: str = KEY, *, url: str = "https://index.example/simple/demo/", kind: str = JSON
) -> Entry:
    """A body that an import brings, and its entry, which is newer than all that is here and not saved yet."""
    blob = await stored(world.store, body)
    later = world.clock.now() + 1
    return Entry(key, url, blob.digest, blob.size, kind, Validator(), later, later)


async def had(world: World, *packages: Package) -> None:
    """Have a page of old files here, and these of the files."""
    world.publish(OTHER_LINK, OLD_LINK, NEW_LINK)
    await world.listed()
    for package in packages:
        await world.hold(at(package), content(package))


async def names(world: World) -> dict[str, object]:
    """By file name, whether the page calls it yanked."""
    return {name: file["yanked"] for name, file in (await world.listed()).items()}


async def test_learn__what_a_page_drops(world: World) -> None:
    """It is recorded of files that are here, as after a refresh."""
    await had(world, OLD)
    entry = await came(world, as_json("demo", [NEW_LINK]))

    assert await pages(world).learn(entry)
    await world.store.save(entry)

    assert {NEW.filename: False, OLD.filename: REMOVED} == await names(world)


async def test_learn__store_without_a_cache(world: World) -> None:
    """The same is recorded where nothing serves."""
    await had(world, OLD)
    entry = await came(world, as_json("demo", [NEW_LINK]))

    async with ImportedPages.of_store(world.sites, world.store, world.documents, world.clock) as alone:
        assert await alone.learn(entry)
    await world.store.save(entry)

    assert {NEW.filename: False, OLD.filename: REMOVED} == await names(world)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Sign in", "text/plain"),
        (b"{}", JSON),
        (b'{"meta": {"api-version": "1.0"}, "projects": [{"name": "demo"}]}', JSON),
    ],
)
async def test_learn__no_page(world: World, body: bytes, kind: str) -> None:
    """It does not replace one, and the page that is here stays as it is."""
    await had(world, OLD)

    assert not await pages(world).learn(await came(world, body, kind=kind))

    assert world.store.find(removed_key(KEY)) is None


async def test_learn__page_of_another_host(make: Make) -> None:
    """One that is not the index's own would not be served: it takes nobody's place."""
    world = make(structs.replace(SITE, own=frozenset({"index.example"})))
    await had(world, OLD)

    assert not await pages(world).learn(
        await came(world, as_json("demo", [NEW_LINK]), url="https://evil.example/demo/")
    )


async def test_learn__what_another_cache_recorded(world: World) -> None:
    """It stands beside what was recorded here: neither is lost, whichever is later."""
    await had(world, OLD, OTHER)
    entry = await came(world, as_json("demo", [OLD_LINK, NEW_LINK]))
    await pages(world).learn(entry)
    await world.store.save(entry)
    world.publish(NEW_LINK)
    theirs = await came(world, as_json("demo", [OLD_LINK]), removed_key(KEY))

    assert not await pages(world).learn(theirs)

    world.clock.advance(SITE.ttl + 2)
    assert {NEW.filename: False, OLD.filename: REMOVED, OTHER.filename: REMOVED} == await names(world)


async def test_learn__what_is_recorded_already(world: World) -> None:
    """Nothing is written anew."""
    await had(world, OLD)
    entry = await came(world, as_json("demo", [NEW_LINK]))
    await pages(world).learn(entry)
    before = world.store.find(removed_key(KEY))

    assert not await pages(world).learn(await came(world, as_json("demo", [OLD_LINK]), removed_key(KEY)))

    assert before == world.store.find(removed_key(KEY)) is not None


async def test_learn__older_page(world: World) -> None:
    """What it lists, and the later one here does not, is shown as dropped if it is here; what was recorded stays."""
    await had(world, OLD, OTHER)
    entry = await came(world, as_json("demo", [OLD_LINK, NEW_LINK]))  # drops the other one
    await pages(world).learn(entry)
    await world.store.save(entry)
    entry = structs.replace(await came(world, as_json("demo", [NEW_LINK])), checked=entry.checked + 1)
    await world.store.save(entry)  # as if it had come first: nobody saw that it drops the old one
    older = await came(world, as_json("demo", [OLD_LINK, NEW_LINK]))

    assert not await pages(world).learn(older, older=True)
    before = world.store.find(removed_key(KEY))
    assert not await pages(world).learn(older, older=True)

    assert before == world.store.find(removed_key(KEY))
    assert world.store.find(KEY) == entry
    assert {NEW.filename: False, OLD.filename: REMOVED, OTHER.filename: REMOVED} == await names(world)


async def test_learn__older_page_that_is_none(make: Make) -> None:
    """Nothing is recorded of it, nor of one that is another index's."""
    world = make(structs.replace(SITE, own=frozenset({"index.example"})))
    await had(world, OLD)
    entry = await came(world, as_json("demo", [NEW_LINK]))
    await world.store.save(entry)
    for body, url in ((b"{}", URL), (as_json("demo", [OLD_LINK]), "https://evil.example/demo/")):
        assert not await pages(world).learn(await came(world, body, url=url), older=True)
    assert world.store.find(removed_key(KEY)) is None


async def test_learn__record_that_is_none(world: World) -> None:
    """It is left out."""
    await had(world, OLD)

    assert not await pages(world).learn(await came(world, b"{}", removed_key(KEY)))

    assert world.store.find(removed_key(KEY)) is None


@pytest.mark.parametrize("key", ["page:other:demo:simple/demo/", "removed:other:demo:simple/demo/", "page:pypi"])
async def test_learn__of_no_index(world: World, key: str) -> None:
    """Of an index that the settings do not name nothing is known: it comes as it is."""
    assert await pages(world).learn(await came(world, b"anything", key))


async def test_learn__dropped_files_are_not_wanted(make: Make) -> None:
    """What the setting turns off is recorded neither here nor of others."""
    world = make(structs.replace(SITE, keep_removed=False))
    await had(world, OLD)

    assert await pages(world).learn(await came(world, as_json("demo", [NEW_LINK])))
    assert await pages(world).learn(await came(world, as_json("demo", [OLD_LINK]), removed_key(KEY)))

    assert world.store.find(removed_key(KEY)) is None


async def test_imported__pages_in_another_folder(make: Make) -> None:
    """Where pages are that came in a bundle is known, though it was asked before."""
    world = make(structs.replace(SITE, index=""))
    assert [] == world.page_cache.folders(world.site)
    await world.store.save(await came(world, as_json("demo", []), page_key("pypi", "demo", "whl/cu126/demo/")))

    world.page_cache.imported()

    assert ["whl/cu126/"] == world.page_cache.folders(world.site)
