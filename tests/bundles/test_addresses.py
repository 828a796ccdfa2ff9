"""The entries of a bundle on their way into a store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.bundles.addresses import Addresses
from proxy.errors import StoreBroken
from tests.bundles.tars import entry, member
from tests.memory_store import MemoryStore

_KEY, _LIST, _SIGNATURE = "file:pypi:demo::a.whl", "apt:release:http://h/d/:Release", f"apt:signature:http://h/d/:{'a'}"


async def test_save__nothing_newer_is_replaced() -> None:
    """It is counted; with `replace_newer` it gives way."""
    store = MemoryStore()
    for body in (b"old", b"new"):
        await store.put(body)
    older, newer = entry(_KEY, b"old"), replace(entry(_KEY, b"new"), checked=entry(_KEY, b"old").checked + 1)
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
