"""What pages tell when they arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec import structs

from proxy.model import Digest, Entry, Target, Validator
from proxy.python import page_cache
from proxy.python.page import File, Page
from proxy.python.page_cache import Moves
from proxy.python.parsed_page import PageChange, ParsedPage
from proxy.python.store_keys import PageAddress, page_key
from tests.memory_store import stored
from tests.pages import Link
from tests.python.world import SITE, World

ONE, TWO = Digest("sha256", "a" * 64), Digest("md5", "b" * 32)
FILE = File("demo-1.0.tar.gz", "https://files.example/1/demo-1.0.tar.gz?a=1", (ONE,))
MOVED = structs.replace(FILE, url="https://files.example/2/demo-1.0.tar.gz?a=1")


def arrived(known: Moves, before: File, *now: File, page: str = "page") -> None:
    """Let a page come that has other files than before."""
    old, fresh = (ParsedPage.of(Page("demo", files, html=False)) for files in ((before,), now))
    known.arrived(page, PageChange.between(old, fresh).moved)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ((FILE,), ()),
        ((structs.replace(FILE, url=FILE.url.replace("?a=1", "?a=2")),), ()),
        ((MOVED,), (FILE,)),
        ((), ()),
        ((structs.replace(MOVED, filename="other-1.0.tar.gz"),), ()),
    ],
)
def test_earlier(now: tuple[File, ...], expected: tuple[File, ...]) -> None:
    """A file that is still on the page, elsewhere; another query is the same address on the cache."""
    known = Moves()
    arrived(known, FILE, *now)
    assert expected == known.earlier("page", FILE.filename)
    assert () == known.earlier("other page", FILE.filename)


def test_earlier__of_several_pages() -> None:
    """The last address first, and not without end."""
    known = Moves()
    files = [structs.replace(FILE, url=f"https://files.example/{number}/demo-1.0.tar.gz") for number in range(9)]
    for before, now in pairwise(files):
        arrived(known, before, now)
    assert tuple(reversed(files[4:8])) == known.earlier("page", FILE.filename)


def test_memory__is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not moved for the longest time is forgotten."""
    monkeypatch.setattr(page_cache, "_MOVES", 2)
    known = Moves()
    for page in ("one", "two", "one", "three"):
        arrived(known, FILE, MOVED, page=page)
    assert [True, False, True] == [bool(known.earlier(page, FILE.filename)) for page in ("one", "two", "three")]


# Folders of pages


async def found(world: World, project: str, path: str) -> None:
    """Let a page come that is there."""
    world.publish(Link("x-1.0.tar.gz", "https://files.example/x-1.0.tar.gz"), target=Target("pypi", None, path))
    await world.page_cache.get(PageAddress(world.site, project, path))


async def test_folders__the_last_one_first(world: World) -> None:
    """Folders in which pages of projects were found; not those of flat pages."""
    for project, path in (("a", "x/a/"), ("b", "y/b/"), ("c", "x/c/"), ("", "z/"), ("d", "z/not-d/"), ("e", "e/")):
        await found(world, project, path)
    assert ["", "x/", "y/"] == world.page_cache.folders(SITE)


async def test_folders__of_an_earlier_run(world: World) -> None:
    """Stored pages tell where pages are."""
    blob = await stored(world.store, b"page")
    for key in (page_key("pypi", "a", "x/a/"), page_key("other", "b", "y/b/"), page_key("pypi", "", "z/")):
        await world.store.save(Entry(key, "", blob.digest, blob.size, "", Validator(), 0.0, 0.0))
    assert ["x/"] == world.page_cache.folders(SITE)


async def test_folders__are_bounded(world: World) -> None:
    """Whatever pages say, little is remembered."""
    for number in range(2 * page_cache._FOLDERS):
        await found(world, "a", f"{number}/a/")
    assert [f"{2 * page_cache._FOLDERS - 1}/", page_cache._FOLDERS] == [
        world.page_cache.folders(SITE)[0],
        len(world.page_cache.folders(SITE)),
    ]
