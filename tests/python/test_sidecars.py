"""What lies beside a page: believed only if it was made of this page, by this version, and is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from proxy.errors import BlobDamaged, StoreFull
from proxy.model import Entry, Validator
from proxy.python import sidecars as module
from proxy.python.parsed_pages import PageWork
from proxy.python.sidecars import Sidecar, Sidecars
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore, stored
from tests.storage.disk import opened

KEY = "outline:pypi:demo:simple/demo/"
FACTS = {"a": 1}


@pytest.fixture
def store() -> MemoryStore:
    """The disk."""
    return MemoryStore()


@pytest.fixture
async def sidecars(store: MemoryStore) -> AsyncIterator[Sidecars]:
    """Nothing is there."""
    work = PageWork()
    made = Sidecars(store, work, SteppedClock())
    yield made
    await made.close()
    await work.close()


async def page_of(store: MemoryStore, body: bytes = b"page", size: int | None = None) -> Entry:
    """A stored page."""
    blob = await stored(store, body)
    key, url = "page:pypi:demo:simple/demo/", "https://index.example/simple/demo/"
    entry = Entry(key, url, blob.digest, size or blob.size, "text/html", Validator(), 0, 0)
    await store.save(entry)
    return entry


async def write(sidecars: Sidecars, page: Entry, body: bytes = b"body", key: str = KEY) -> None:
    """Have a sidecar written, and wait for it."""
    sidecars.write_soon(page, key, str(page.digest), 1, lambda: (FACTS, body))
    await sidecars.settled()


def read(sidecars: Sidecars, page: Entry, made_of: str | None = None, key: str = KEY) -> bytes | None:
    """All of it; None if there is none that counts."""

    def whole(sidecar: Sidecar[dict[str, int]]) -> bytes:
        assert FACTS == sidecar.facts
        return sidecar.read(0, sidecar.size)

    blob = sidecars.find(page, key)
    return None if blob is None else sidecars.read(blob, made_of or str(page.digest), dict[str, int], whole)


@pytest.mark.parametrize("size", [0, 1, 5000, 100_000])
@pytest.mark.parametrize("made_of", [None, "x" * 5000])
async def test_read__what_was_written(store: MemoryStore, sidecars: Sidecars, size: int, made_of: str | None) -> None:
    """Header and body of any length; what it was made of has to be the same."""
    page = await page_of(store)
    text = made_of or str(page.digest)
    sidecars.write_soon(page, KEY, text, 1, lambda: (FACTS, b"x" * size))
    await sidecars.settled()

    assert (b"x" * size, None) == (read(sidecars, page, text), read(sidecars, page, f"{text} of others"))


async def test_read__after_a_restart(tmp_path: Path) -> None:
    """The real disk has it: without a database of its own, and proved by its digest."""
    work = PageWork()
    async with opened(tmp_path) as disk:
        blob = await stored(disk, b"page")
        page = Entry("page:pypi:demo:simple/demo/", "u", blob.digest, blob.size, "", Validator(), 0, 0)
        await disk.save(page)
        first = Sidecars(disk, work, SteppedClock())
        first.write_soon(page, KEY, str(page.digest), 5000, lambda: (FACTS, b"x" * 5000))
        await first.close()
    async with opened(tmp_path) as disk:
        assert b"x" * 5000 == read(Sidecars(disk, work, SteppedClock()), page)
    await work.close()


async def test_read__of_another_version_of_the_program(
    store: MemoryStore, sidecars: Sidecars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may parse or render differently, so all is made anew."""
    page = await page_of(store)
    await write(sidecars, page)
    monkeypatch.setattr(sidecars, "_by", "another")
    assert read(sidecars, page) is None


async def test_write_soon__takes_the_place_of_the_earlier_one(store: MemoryStore, sidecars: Sidecars) -> None:
    """There is one for each key; the body of the other one is gone with it."""
    page = await page_of(store)
    await write(sidecars, page, b"first")
    before = sidecars.find(page, KEY)
    await write(sidecars, page, b"second")

    assert before is not None
    assert (b"second", None) == (read(sidecars, page), store.blob(before.digest))


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\xff" * 9, b"\4\0\0\0\xc1\xc1\xc1\xc1", b"\xff" * 3 + b"\0" + b"x" * 9], ids=repr
)
async def test_read__what_is_none(store: MemoryStore, sidecars: Sidecars, body: bytes) -> None:
    """Whatever is stored under its key: it is made anew."""
    page = await page_of(store)
    blob = await stored(store, body)
    await store.save(Entry(KEY, page.url, blob.digest, blob.size, "", Validator(), 0, 0))
    assert read(sidecars, page) is None


async def test_read__damaged(store: MemoryStore, sidecars: Sidecars) -> None:
    """The store finds it, and drops it."""
    page = await page_of(store)
    await write(sidecars, page)
    blob = sidecars.find(page, KEY)
    assert blob is not None
    store.damage(blob.digest, b"other bytes")
    assert (None, None) == (read(sidecars, page), store.find(KEY))


async def test_read__past_its_end(store: MemoryStore, sidecars: Sidecars) -> None:
    """Bytes that are not there are not made up."""
    page = await page_of(store)
    await write(sidecars, page)
    blob = sidecars.find(page, KEY)
    assert blob is not None

    def beyond(sidecar: Sidecar[dict[str, int]]) -> bytes:
        with pytest.raises(BlobDamaged):
            sidecar.read(1, sidecar.size)
        return b"refused"

    assert b"refused" == sidecars.read(blob, str(page.digest), dict[str, int], beyond)


async def test_read__a_disk_that_fails(store: MemoryStore, sidecars: Sidecars) -> None:
    """What cannot be read is checked, and counts as missing."""
    page = await page_of(store)
    await write(sidecars, page)
    blob = sidecars.find(page, KEY)
    assert blob is not None

    def fails(_: Sidecar[dict[str, int]]) -> bytes:
        store.damage(blob.digest, b"other bytes")
        raise OSError("I/O error")

    assert (None, None) == (sidecars.read(blob, str(page.digest), dict[str, int], fails), store.find(KEY))


async def test_find__of_a_page_that_is_gone(store: MemoryStore, sidecars: Sidecars) -> None:
    """Nothing is believed without the page."""
    page = await page_of(store)
    await write(sidecars, page)
    await store.forget(page.key)
    assert sidecars.find(page, KEY) is None


async def test_find__counts_as_a_use_of_the_page(sidecars: Sidecars) -> None:
    """A page of which only its sidecars are read is not evicted before them."""
    store = MemoryStore(1000)
    sidecars._store = store
    page = await page_of(store, b"p" * 400)
    await write(sidecars, page)
    await stored(store, b"o" * 400)
    assert sidecars.find(page, KEY) is not None
    await stored(store, b"new" * 100)
    assert store.blob(page.digest) is not None


async def test_write_soon__not_of_a_page_that_is_not_stored(store: MemoryStore, sidecars: Sidecars) -> None:
    """Of one that was replaced, or that the disk did not take: neither when it begins, nor at its end."""
    page = await page_of(store)
    await write(sidecars, structs.replace(page, url="https://elsewhere.example/"))
    assert store.find(KEY) is None

    def replaced() -> tuple[dict[str, int], bytes]:
        store._entries[page.key] = structs.replace(page, url="https://elsewhere.example/")
        return FACTS, b"body"

    sidecars.write_soon(page, KEY, "", 1, replaced)
    await sidecars.settled()
    assert store.find(KEY) is None


async def test_write_soon__of_a_page_that_goes_meanwhile(store: MemoryStore, sidecars: Sidecars) -> None:
    """Who waits for quiet may find that nothing is to be written any more."""
    page = await page_of(store)
    sidecars.write_soon(page, KEY, "", 1, lambda: (FACTS, b""))
    await asyncio.sleep(0)
    writer = sidecars._writer
    assert writer is not None
    await store.forget(page.key)
    sidecars.write_soon(page, KEY, "", 1, lambda: (FACTS, b""))
    await sidecars.settled()

    assert (None, None) == (writer.exception(), store.find(KEY))
    page = await page_of(store)
    await write(sidecars, page)
    assert b"body" == read(sidecars, page)


async def test_write_soon__without_room(store: MemoryStore, sidecars: Sidecars) -> None:
    """A disk that takes nothing is no failure of anything."""
    page = await page_of(store)
    store.failure = StoreFull
    await write(sidecars, page)
    assert read(sidecars, page) is None


async def test_write_soon__is_bounded(store: MemoryStore, sidecars: Sidecars) -> None:
    """What waits to be written takes memory: at most so many, and so many bytes of pages. One may be longer."""
    page = await page_of(store)
    for number in range(module._MOST + 100):
        sidecars.write_soon(page, f"{KEY}{number}", "", 1, lambda: (FACTS, b""))
    assert module._MOST == len(sidecars._waiting)
    await sidecars.settled()
    assert module._MOST == len(store.keys(KEY))

    for number in range(3):
        sidecars.write_soon(page, f"{KEY}{number}", "", module._BYTES + 1, lambda: (FACTS, b""))
    assert 1 == len(sidecars._waiting)
    await sidecars.settled()
    assert ({}, 0) == (sidecars._waiting, sidecars._bytes)


async def test_write_soon__what_holds_nothing(store: MemoryStore, sidecars: Sidecars) -> None:
    """Long ones that are made of what lies on the disk crowd nobody out."""
    page = await page_of(store)
    for number in range(3):
        sidecars.write_soon(page, f"{KEY}{number}", "", module._BYTES + 1, lambda: (FACTS, b""), held=0)
    assert (3, 0) == (len(sidecars._waiting), sidecars._bytes)
    await sidecars.settled()
    assert 3 == len(store.keys(KEY))


async def test_write_soon__what_cannot_be_made(store: MemoryStore, sidecars: Sidecars) -> None:
    """A page that is damaged by then costs its sidecar, and no other one."""
    page = await page_of(store)
    body = sidecars.body_of(page)
    assert b"page" == body()
    store.damage(page.digest, b"other bytes")
    sidecars.write_soon(page, KEY, "", 1, lambda: (FACTS, body()))
    other = structs.replace(await page_of(store, b"another"), key="page:pypi:other:simple/other/")
    await store.save(other)
    await write(sidecars, other, key="outline:pypi:other:simple/other/")
    assert (None, b"body") == (store.find(KEY), read(sidecars, other, key="outline:pypi:other:simple/other/"))
    with pytest.raises(BlobDamaged):
        sidecars.body_of(page)()


async def test_write_soon__the_last_one_of_a_key(store: MemoryStore, sidecars: Sidecars) -> None:
    """Many who miss it have it made once."""
    page, made = await page_of(store), list[int]()

    def make(number: int) -> tuple[dict[str, int], bytes]:
        made.append(number)
        return FACTS, b""

    for number in range(3):
        sidecars.write_soon(page, KEY, "", 1, partial(make, number))
    await sidecars.settled()
    assert ([2], 0) == (made, sidecars._bytes)


async def test_write_soon__when_it_is_quiet(
    store: MemoryStore, sidecars: Sidecars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client waits for goes first, until much waits to be written."""
    page = await page_of(store, b"x" * 20_000)
    await sidecars.settled()
    sidecars.write_soon(page, KEY, "", 1, lambda: (FACTS, b""))
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.find(KEY) is None
    monkeypatch.setattr(module, "_LOOK", 0.001)
    monkeypatch.setattr(module, "_QUIET", 0.001)
    await sidecars.settled()
    sidecars.write_soon(page, f"{KEY}2", "", 1, lambda: (FACTS, b""))
    while sidecars._writer is not None:
        await asyncio.sleep(0)
    assert [KEY, f"{KEY}2"] == store.keys(KEY)


async def test_write_soon__much_waits(store: MemoryStore, sidecars: Sidecars, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is not waited for quiet."""
    page = await page_of(store)
    monkeypatch.setattr(module, "_MUCH", 5)
    for number in range(2):
        sidecars.write_soon(page, f"{KEY}{number}", "", 4, lambda: (FACTS, b""))
    while f"{KEY}0" not in store.keys(KEY):
        await asyncio.sleep(0)
    assert f"{KEY}1" in sidecars._waiting
    await sidecars.settled()


async def test_close__writes_what_waits(store: MemoryStore) -> None:
    """So the next start finds it."""
    work = PageWork()
    sidecars = Sidecars(store, work, SteppedClock())
    page = await page_of(store)
    sidecars.write_soon(page, KEY, str(page.digest), 1, lambda: (FACTS, b"body"))
    await sidecars.close()
    await work.close()
    assert b"body" == read(sidecars, page)


async def test_close__breaks_off(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer holds up no end."""
    monkeypatch.setattr(module, "_CLOSING", 0.01)
    work = PageWork()
    sidecars = Sidecars(store, work, SteppedClock())
    page = await page_of(store, size=8 << 20)
    async with work.turn(page):
        sidecars.write_soon(page, KEY, "", 1, lambda: (FACTS, b""))
        await sidecars.close()
    await work.close()
    assert (None, None) == (sidecars._writer, store.find(KEY))
