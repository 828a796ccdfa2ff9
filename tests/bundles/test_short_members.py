"""Members with short bodies, taken in many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from proxy.bundles.addresses import Addresses
from proxy.bundles.manifest import BadBundle
from proxy.bundles.short_members import ShortMember, ShortMembers, Taken
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken
from tests.bundles.tars import member
from tests.memory_store import MemoryStore


@pytest.fixture
async def hashing() -> AsyncIterator[Workers]:
    """Threads."""
    workers = Workers("test", 1)
    yield workers
    await workers.close()


def _batch(bodies: Sequence[bytes]) -> list[ShortMember]:
    """A member for each body."""
    made = [member(f"files/{number}", body, f"file:a:b::{number}") for number, body in enumerate(bodies)]
    return [ShortMember(one, one.entries, body) for one, body in zip(made, bodies, strict=True)]


def _members(store: MemoryStore, hashing: Workers) -> ShortMembers:
    return ShortMembers(store, hashing, Addresses(store, replace_newer=False))


async def test_take_in__what_is_not_here(hashing: Workers) -> None:
    """Each body once; all addresses."""
    store = MemoryStore()
    await store.put(b"here")

    assert Taken(2, 4, 2) == await _members(store, hashing).take_in(_batch([b"aa", b"here", b"bb", b"aa"]))
    assert [f"file:a:b::{number}" for number in range(4)] == store.keys("")


async def test_take_in__one_is_wrong(hashing: Workers) -> None:
    """It is named; those before it are stored, and neither it nor those behind it."""
    store, batch = MemoryStore(), _batch([b"aa", b"bb", b"cc"])
    batch[1] = batch[1]._replace(body=b"xx")

    with pytest.raises(BadBundle, match="files/1 is damaged"):
        await _members(store, hashing).take_in(batch)
    assert ["file:a:b::0"] == store.keys("")


async def test_take_in__store_that_takes_nothing(hashing: Workers) -> None:
    """It is an error."""
    store = MemoryStore()
    store.failure = lambda: StoreBroken("broken")

    with pytest.raises(StoreBroken, match="takes no more"):
        await _members(store, hashing).take_in(_batch([b"aa"]))


async def test_add__until_there_are_enough(hashing: Workers) -> None:
    """By number or by bytes; then one begins again."""
    members = _members(MemoryStore(), hashing)
    (short,), (long,) = _batch([b"a"]), _batch([bytes(1 << 20)])

    assert 500 == next(number for number in range(1, 1000) if members.add(short))
    assert 500 == len(members.gathered())
    assert 4 == next(number for number in range(1, 1000) if members.add(long))
    assert 4 == len(members.gathered())
    assert [] == members.gathered()
