"""Stored files found again: by address, and by digest in every algorithm that may be trusted for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.cache.comparing import Comparing
from proxy.cache.keeping import Keeping
from proxy.errors import StoreFull
from proxy.model import ALGORITHMS, Blob, Digest, Validator
from tests.cache.conftest import BODY, HandClock, wanted
from tests.cache.test_comparing import OTHER, digest
from tests.memory_store import MemoryStore

TAGGED = Validator('"tag"')


@pytest.fixture
async def keeping(store: MemoryStore, clock: HandClock) -> AsyncIterator[Keeping]:
    """What is tested."""
    comparing = Comparing(store)
    yield Keeping(store, comparing, clock)
    await comparing.close()


async def bring(
    store: MemoryStore, keeping: Keeping, promised: Digest | None, *, key: str = "file:demo", proved: bool = True
) -> Blob:
    """A file came, and was compared with this digest."""
    blob = await store.put(BODY)
    await keeping.note(replace(wanted(None, key=key), digest=promised, proved=proved), blob, TAGGED)
    return blob


@pytest.mark.parametrize("before", [None, *(digest(algorithm) for algorithm in ALGORITHMS)])
@pytest.mark.parametrize("now", [None, *(digest(algorithm) for algorithm in ALGORITHMS)])
async def test_find__what_is_promised_now(
    store: MemoryStore, keeping: Keeping, before: Digest | None, now: Digest | None
) -> None:
    """The right bytes are found, whatever was promised when they came."""
    blob = await bring(store, keeping, before)
    assert blob == await keeping.find(replace(wanted(None), digest=now))


@pytest.mark.parametrize("before", [None, *(digest(algorithm) for algorithm in ALGORITHMS)])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_find__another_file_is_promised_now(
    store: MemoryStore, keeping: Keeping, before: Digest | None, algorithm: str
) -> None:
    """Other bytes are not found, whatever was promised when they came."""
    await bring(store, keeping, before)
    assert await keeping.find(replace(wanted(None), digest=digest(algorithm, OTHER))) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_find__under_another_address(store: MemoryStore, keeping: Keeping, algorithm: str) -> None:
    """A digest finds a file whatever its address, unless somebody may have made two files that have it."""
    blob = await bring(store, keeping, digest(algorithm))
    other = replace(wanted(None, key="file:other"), digest=digest(algorithm))
    found = blob if algorithm not in ("md5", "sha1") else None
    assert found == await keeping.find(other)
    assert (found is not None) is (store.find("file:other") is not None)


async def test_find__between_adoption_and_note(store: MemoryStore, keeping: Keeping) -> None:
    """Who finds the blob of a download before that wrote it down says of it what upstream said."""
    blob = await store.put(BODY)
    wish = replace(wanted(None), digest=digest("sha256"))

    assert blob == await keeping.find(wish, TAGGED)
    entry = store.find(wish.key)
    assert entry is not None
    assert TAGGED == entry.validator


async def test_find__is_not_to(store: MemoryStore, keeping: Keeping) -> None:
    """What is kept under the key is not it any more."""
    await bring(store, keeping, None)
    assert await keeping.find(replace(wanted(None), renew=True)) is None


async def test_find__cannot_be_compared(store: MemoryStore, keeping: Keeping) -> None:
    """A file whose bytes cannot be read is fetched."""
    blob = await bring(store, keeping, None)
    store.damage(blob.digest, b"damaged")
    assert await keeping.find(replace(wanted(None), digest=digest("sha512"))) is None


async def test_note__what_was_promised(store: MemoryStore, keeping: Keeping) -> None:
    """The entry says what the file was compared with, and whether that could be learnt."""
    await bring(store, keeping, digest("sha512"), proved=False)
    entry = store.find("file:demo")
    assert entry is not None
    assert (digest("sha512"), False, TAGGED) == (entry.promised, entry.proved, entry.validator)


async def test_note__on_a_disk_that_fails(store: MemoryStore, keeping: Keeping) -> None:
    """The file was given to clients all the same."""
    blob = await store.put(BODY)
    store.failure = lambda: StoreFull("full")
    await keeping.note(replace(wanted(None), digest=digest("sha512")), blob, TAGGED)
    assert store.find("file:demo") is None
