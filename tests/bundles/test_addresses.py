"""The entries of a bundle on their way into a store."""

from __future__ import annotations

import pytest
from msgspec import structs

from proxy.bundles.addresses import Addresses
from proxy.errors import StoreBroken
from proxy.model import Entry
from tests.bundles.tars import entry, member
from tests.memory_store import MemoryStore

_KEY, _LIST, _SIGNATURE = "file:pypi:demo::a.whl", "apt:release:http://h/d/:Release", f"apt:signature:http://h/d/:{'a'}"


async def test_save__nothing_newer_is_replaced() -> None:
    """It is counted; with `replace_newer` it gives way."""
    store = MemoryStore()
    for body in (b"old", b"new"):
        await store.put(body)
    older, newer = entry(_KEY, b"old"), structs.replace(entry(_KEY, b"new"), checked=entry(_KEY, b"old").checked + 1)
    await store.save(newer)

    addresses = Addresses(store, replace_newer=False)
    assert [] == await addresses.save(member("a", b"old", older), [older])
    assert (newer, 1) == (store.find(_KEY), addresses.newer)
    await Addresses(store, replace_newer=True).save(member("a", b"old", older), [older])
    assert older == store.find(_KEY)


async def test_save__body_that_is_not_here() -> None:
    """Its entries are given back."""
    gone = entry(_KEY, b"gone")

    assert [gone] == await Addresses(MemoryStore(), replace_newer=False).save(member("a", b"gone", gone), [gone])


async def test_finish__lists_come_last() -> None:
    """Behind their signatures."""
    store = MemoryStore()
    await store.put(b"body")
    addresses = Addresses(store, replace_newer=False)
    entries = [entry(key, b"body") for key in (_LIST, _SIGNATURE, _KEY)]

    await addresses.save(member("a", b"body", *entries), entries)
    assert [_KEY] == store.keys("")
    await addresses.finish()
    assert [_LIST, _SIGNATURE, _KEY] == store.keys("")


async def test_save__store_that_takes_nothing() -> None:
    """It is an error: what was imported would be lost."""
    store = MemoryStore()
    await store.put(b"body")
    store.failure = lambda: StoreBroken("broken")

    with pytest.raises(StoreBroken, match="Give the cache more room"):
        await Addresses(store, replace_newer=False).save(member("a", b"body", _KEY), [entry(_KEY, b"body")])


_PAGE, _REMOVED = "page:pypi:demo:simple/demo/", "removed:pypi:demo:simple/demo/"


@pytest.mark.parametrize("welcome", [True, False])
async def test_finish__pages_that_replace_others(welcome: bool) -> None:
    """They come at the end, what pages dropped first, and only those that are pages; the first of a project at once."""
    store, asked = MemoryStore(), list[str]()
    for body in (b"old", b"new"):
        await store.put(body)
    before = [structs.replace(entry(key, b"old"), checked=1.0) for key in (_PAGE, _REMOVED)]
    for one in before:
        await store.save(one)

    async def learn(coming: Entry, /, *, older: bool = False) -> bool:
        assert not older
        assert coming.key != _PAGE or store.find(_PAGE) == before[0]
        asked.append(coming.key)
        return welcome

    addresses = Addresses(store, replace_newer=False, learn=learn)
    entries = [entry(key, b"new") for key in (_PAGE, _REMOVED, f"{_PAGE}other/")]
    await addresses.save(member("a", b"new", *entries), entries)
    assert [*before, entries[2]] == [store.find(one.key) for one in (*before, entries[2])]
    await addresses.finish()

    assert [_REMOVED, _PAGE] == asked
    assert (entries[:2] if welcome else before) == [store.find(key) for key in (_PAGE, _REMOVED)]
    assert (0, 0 if welcome else 1) == (addresses.newer, addresses.unknown)


async def test_save__older_pages_and_what_they_dropped() -> None:
    """A page stays that is newer, and what is said of dropped files is of use however old it is."""
    store, asked = MemoryStore(), list[str]()
    for body in (b"old", b"new"):
        await store.put(body)
    for key in (_PAGE, _REMOVED):
        await store.save(structs.replace(entry(key, b"new"), checked=entry(key, b"old").checked + 1))

    async def learn(coming: Entry, /, *, older: bool = False) -> bool:
        asked.append(f"older {coming.key}" if older else coming.key)
        return False

    addresses = Addresses(store, replace_newer=False, learn=learn)
    entries = [entry(key, b"old") for key in (_PAGE, _REMOVED)]
    await addresses.save(member("a", b"old", *entries), entries)
    await addresses.finish()

    assert ([_REMOVED, f"older {_PAGE}"], 1, 0) == (asked, addresses.newer, addresses.unknown)


async def test_is_body_wanted__older_page() -> None:
    """It is, where somebody can learn from it; an older list of an archive is of no use."""
    store = MemoryStore()
    await store.put(b"new")
    for key in (_PAGE, _KEY):
        await store.save(structs.replace(entry(key, b"new"), checked=entry(key, b"old").checked + 1))

    async def learn(coming: Entry, /, *, older: bool = False) -> bool:
        raise AssertionError(coming, older)

    def wanted(key: str, *, learning: bool) -> bool:
        addresses = Addresses(store, replace_newer=False, learn=learn if learning else None)
        coming = [entry(key, b"old")]
        return addresses.is_body_wanted(member("a", b"old", *coming), coming)

    assert wanted(_PAGE, learning=True)
    assert not wanted(_PAGE, learning=False)
    assert not wanted(_KEY, learning=True)


async def test_finish__page_that_came_from_upstream_meanwhile() -> None:
    """It stays, being newer."""
    store, asked = MemoryStore(), list[str]()
    for body in (b"old", b"new", b"newest"):
        await store.put(body)
    await store.save(structs.replace(entry(_PAGE, b"old"), checked=1.0))

    async def learn(coming: Entry, /, *, older: bool = False) -> bool:
        asked.append(coming.key)
        return True

    addresses, coming = Addresses(store, replace_newer=False, learn=learn), entry(_PAGE, b"new")
    await addresses.save(member("a", b"new", coming), [coming])
    newest = structs.replace(entry(_PAGE, b"newest"), checked=coming.checked + 1)
    await store.save(newest)
    await addresses.finish()

    assert (newest, [], 1) == (store.find(_PAGE), asked, addresses.newer)


async def test_finish__list_that_came_from_upstream_meanwhile() -> None:
    """It stays, being newer; with `replace_newer` it gives way."""
    coming = entry(_LIST, b"new")
    newest = structs.replace(entry(_LIST, b"newest"), checked=coming.checked + 1)

    for replace_newer, left in ((False, newest), (True, coming)):
        store = MemoryStore()
        for body in (b"old", b"new", b"newest"):
            await store.put(body)
        await store.save(structs.replace(entry(_LIST, b"old"), checked=1.0))
        addresses = Addresses(store, replace_newer=replace_newer)
        await addresses.save(member("a", b"new", coming), [coming])
        await store.save(newest)
        await addresses.finish()

        assert (left, 0 if replace_newer else 1) == (store.find(_LIST), addresses.newer)
