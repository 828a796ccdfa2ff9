"""One link of a page is looked up, and no page is parsed for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from proxy.cache.documents import Document
from proxy.errors import NotFound
from proxy.model import Target
from proxy.python import outlines as module
from proxy.python.sidecars import WORTH
from proxy.python.store_keys import PageAddress, outline_key
from tests.memory_store import stored
from tests.memory_upstream import Scripted
from tests.pages import Link
from tests.python.world import PAGE, SITE, World, content
from tests.wheels import sdist

ADDRESS = PageAddress(SITE, "demo", PAGE.path)
KEY = outline_key(ADDRESS.key)
DEMO = sdist("demo", "0.1")
AT = Target("pypi", "files.example", f"a/{DEMO.filename}")


def many(*more: Link, hashed: bool = True) -> list[Link]:
    """Links of a page that is long enough for an outline."""
    digest = "0" * 64 if hashed else None
    filler = [Link(f"demo-1.{n}.tar.gz", f"https://files.example/a/demo-1.{n}.tar.gz", digest) for n in range(200)]
    return [*more, *filler]


LISTED = Link(DEMO.filename, f"https://files.example/a/{DEMO.filename}", DEMO.sha256)


async def restarted(world: World) -> None:
    """Forget what is in memory only, as a restart does."""
    await world.sidecars.settled()
    world.parsed._pages.clear()
    world.parsed._summaries.clear()
    world.parsed._links = 0
    world.rendered._pages.clear()
    world.rendered._bytes = 0
    world.outlines._lately.clear()


async def came(world: World, *links: Link) -> Document:
    """Let upstream's page have these links, and get it."""
    world.publish(*links)
    world.clock.advance(1000)
    document = await world.page_cache.get(ADDRESS)
    await world.sidecars.settled()
    return document


async def test_ask__parses_nothing_after_a_restart(world: World) -> None:
    """A file of the page is found, and so is that there is none of a name."""
    document = await came(world, *many(LISTED))
    parsed = await world.outlines.ask(document, (DEMO.filename,))
    await restarted(world)
    looked_up = await world.outlines.ask(document, (DEMO.filename, "demo-9.tar.gz"))

    assert 1 == world.parsed.count
    assert parsed.by_name[DEMO.filename] == looked_up.by_name[DEMO.filename] != []
    assert (parsed.summary, []) == (looked_up.summary, looked_up.by_name["demo-9.tar.gz"])
    assert (parsed.summary, 1) == (await world.outlines.summary(document), world.parsed.count)


async def test_ask__file_hits_parse_nothing(world: World) -> None:
    """Nor does a page's supplement."""
    await came(world, *many(LISTED))
    await world.hold(AT, content(DEMO))
    await restarted(world)

    shown = await world.file(AT)
    assert (content(DEMO), 1) == (await world.read(shown), world.parsed.count)


async def test_ask__a_page_that_is_short(world: World) -> None:
    """It is parsed sooner than its outline is read, so it has none."""
    document = await came(world, LISTED)
    await restarted(world)
    assert (await world.outlines.ask(document, (DEMO.filename,))).by_name[DEMO.filename]
    assert (2, None, True) == (world.parsed.count, world.store.find(KEY), document.entry.size < WORTH)


async def test_ask__an_outline_of_an_earlier_page(world: World) -> None:
    """It is not believed, though it lies under the same key, and it is made anew."""
    await came(world, *many(LISTED))
    old = world.store.find(KEY)
    assert old is not None
    body = world.store._blobs[old.digest.value].body
    document = await came(world, *many())
    await stored(world.store, body)
    await world.store.save(old)
    await restarted(world)

    assert DEMO.filename not in (await world.outlines.ask(document, (DEMO.filename,))).by_name
    await restarted(world)
    assert [] == (await world.outlines.ask(document, (DEMO.filename,))).by_name[DEMO.filename]
    assert 3 == world.parsed.count


async def test_came__the_page_left_memory_meanwhile(world: World) -> None:
    """Its outline is made of the stored page, and is the same."""
    world.publish(*many(LISTED))
    document = await world.page_cache.get(ADDRESS)
    world.parsed._pages.clear()
    await restarted(world)
    found = await world.outlines.ask(document, (DEMO.filename,))
    assert ([DEMO.sha256], 1) == ([file.digests[0].value for file in found.by_name[DEMO.filename]], world.parsed.count)


async def test_came__the_same_page_again(world: World) -> None:
    """Its outline is there, and is not written again."""
    document = await came(world, *many(LISTED))
    before = world.store.find(KEY)
    again = await came(world, *many(LISTED))
    assert (True, document.entry.digest) == (again.fetched, again.entry.digest)
    assert before is world.store.find(KEY)


async def test_ask__damaged_or_missing(world: World) -> None:
    """The page is parsed, and the outline made anew."""
    document = await came(world, *many(LISTED))
    for number in range(2):
        entry = world.store.find(KEY)
        assert entry is not None
        if number:
            await world.store.forget(KEY)
        else:
            world.store.damage(entry.digest, b"x")
        await restarted(world)
        assert (await world.outlines.ask(document, (DEMO.filename,))).by_name[DEMO.filename]
        await restarted(world)
        assert (await world.outlines.ask(document, (DEMO.filename,))).by_name[DEMO.filename]
        assert number + 2 == world.parsed.count


@pytest.mark.parametrize(("limit", "expected"), [(module._SHORT, 1), (100, 3)])
async def test_ask__again(world: World, monkeypatch: pytest.MonkeyPatch, limit: int, expected: int) -> None:
    """A short outline is read once for all that is asked of its page; of a long one, what is asked for."""
    monkeypatch.setattr(module, "_SHORT", limit)
    document = await came(world, *many(LISTED))
    await restarted(world)
    reads, read = 0, world.sidecars.read

    def counted(*asked: Any) -> object:
        nonlocal reads
        reads += 1
        return read(*asked)

    monkeypatch.setattr(world.sidecars, "read", counted)

    summary = await world.outlines.summary(document)
    found = await world.outlines.ask(document, (DEMO.filename,))
    missed = await world.outlines.ask(document, ("other",))

    assert (summary, summary) == (found.summary, missed.summary)
    assert [DEMO.filename] == [file.filename for file in found.by_name[DEMO.filename]]
    assert {"other": []} == missed.by_name
    assert (expected, 1) == (reads, world.parsed.count)


async def test_ask__damaged_in_memory(world: World) -> None:
    """What cannot be decoded is not asked again: the page is parsed, and the next outline is read from the disk."""
    document = await came(world, *many(LISTED))
    await restarted(world)
    await world.outlines.summary(document)
    (made_of, sound) = next(iter(world.outlines._lately.items()))
    world.outlines._lately[made_of] = module._Outline(sound._facts, lambda _, size: bytes(size))

    found = await world.outlines.ask(document, (DEMO.filename,))

    assert [DEMO.filename] == [file.filename for file in found.by_name[DEMO.filename]]
    assert world.outlines._lately[made_of] is not sound


async def test_ask__of_a_page_with_another_address_or_type(world: World) -> None:
    """The same bytes are another page there."""
    document = await came(world, *many(LISTED))
    await restarted(world)
    assert world.outlines._looked_up(document.entry, (DEMO.filename,)) is not None
    elsewhere = structs.replace(document.entry, url="https://index.example/other/")
    for entry in (elsewhere, structs.replace(document.entry, content_type="text/html")):
        assert world.outlines._looked_up(entry, (DEMO.filename,)) is None


async def test_ask__many_names(world: World) -> None:
    """Where nearly all of a page is asked for, it is parsed: in a thread."""
    document = await came(world, *many(LISTED))
    await restarted(world)
    names = [f"demo-1.{number}.tar.gz" for number in range(module._NAMES + 1)]
    listed = await world.outlines.ask(document, names[:-1])
    assert (1, module._NAMES) == (world.parsed.count, len(listed.by_name))
    listed = await world.outlines.ask(document, names)
    assert (2, 201) == (world.parsed.count, len(listed.by_name))


async def test_ask__links_that_cannot_be_written(world: World) -> None:
    """The summary is believed all the same; the links are parsed."""
    document = await came(world, *many(replace(LISTED, yanked="x" * 70_000)))
    await restarted(world)
    await world.outlines.summary(document)
    assert 1 == world.parsed.count
    assert (await world.outlines.ask(document, (DEMO.filename,))).by_name[DEMO.filename]
    assert 2 == world.parsed.count


async def test_quarantine__is_known_after_a_restart(world: World) -> None:
    """No file of such a project is served, and nothing is parsed to know it."""
    body = b'<meta name="pypi:project-status" content="quarantined"><title>Links for demo</title>' + b" " * WORTH
    world.upstream.on(world.url(PAGE), Scripted(body, headers={"content-type": "text/html"}))
    await world.page_cache.get(ADDRESS)
    await world.hold(AT, content(DEMO))
    await restarted(world)
    with pytest.raises(NotFound):
        await world.file(AT)
    assert 1 == world.parsed.count
