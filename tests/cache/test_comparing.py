"""Whether a kept file is what an index promises: in every algorithm, measured once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.comparing import Comparing
from proxy.errors import BlobDamaged, StoreFull
from proxy.model import ALGORITHMS, Digest, Entry, Validator
from tests.cache.conftest import BODY
from tests.memory_store import MemoryStore

OTHER = BODY[::-1]


def digest(algorithm: str, body: bytes = BODY) -> Digest:
    """The digest of a body in an algorithm."""
    return Digest(algorithm, hashlib.new(algorithm, body, usedforsecurity=False).hexdigest())


@pytest.fixture
async def comparing(store: MemoryStore) -> AsyncIterator[Comparing]:
    """Compares files of the store."""
    made = Comparing(store)
    yield made
    await made.close()


async def hold(store: MemoryStore, promised: Digest | None = None, *, proved: bool = True, body: bytes = BODY) -> Entry:
    """Have a file kept, with what was promised of it when it came."""
    blob = await store.put(body)
    entry = Entry("file:demo", "", blob.digest, blob.size, "", Validator(), 1.0, 1.0, promised, proved)
    await store.save(entry)
    return entry


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("before", [None, *ALGORITHMS])
@pytest.mark.parametrize("right", [True, False])
async def test_right__whatever_was_promised_before(
    comparing: Comparing, store: MemoryStore, algorithm: str, before: str | None, right: bool
) -> None:
    """The file is compared in the algorithm of today's promise, whichever its entry knows; from then on it knows it."""
    entry = await hold(store, None if before is None else digest(before))
    promised = digest(algorithm, BODY if right else OTHER)
    assert right is await comparing.right(entry, promised)
    kept = store.find(entry.key)
    assert kept is not None
    assert digest(algorithm) == kept.known(algorithm)
    store._blobs[entry.digest.value].body = b"damaged"  # it is not read again
    assert right is await comparing.right(kept, promised)


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from(ALGORITHMS))
def test_right__only_for_the_bytes_that_have_it(kept: bytes, other: bytes, algorithm: str) -> None:
    """A promise is kept by the very bytes that it was made of."""

    async def run() -> bool:
        store = MemoryStore()
        comparing = Comparing(store)
        try:
            return await comparing.right(await hold(store, body=kept), digest(algorithm, other))
        finally:
            await comparing.close()

    assert (kept == other) is asyncio.run(run())


async def test_right__herd(comparing: Comparing, store: MemoryStore) -> None:
    """Many who ask at once have a file hashed once."""
    entry = await hold(store)
    asking = [asyncio.create_task(comparing.right(entry, digest("sha512"))) for _ in range(20)]
    await asyncio.sleep(0)
    assert 1 == len(comparing._flights._tasks)
    assert [True] * 20 == await asyncio.gather(*asking)


async def test_right__of_a_damaged_file(comparing: Comparing, store: MemoryStore) -> None:
    """What cannot be read is not called right."""
    entry = await hold(store)
    store.damage(entry.digest, b"damaged")
    with pytest.raises(BlobDamaged):
        await comparing.right(entry, digest("md5"))
    with pytest.raises(BlobDamaged):
        await comparing.right(entry, digest("md5"))


async def test_right__on_a_full_disk(comparing: Comparing, store: MemoryStore) -> None:
    """The answer does not depend on whether it can be written down."""
    entry = await hold(store)
    store.failure = lambda: StoreFull("full")
    assert await comparing.right(entry, digest("md5"))


async def test_right__of_a_file_that_was_replaced_meanwhile(comparing: Comparing, store: MemoryStore) -> None:
    """What was measured of an older file is not written down for the one that is there now."""
    entry = await hold(store)
    await store.save(replace(entry, checked=2.0))
    assert await comparing.right(entry, digest("md5"))
    kept = store.find(entry.key)
    assert kept is not None
    assert kept.promised is None
