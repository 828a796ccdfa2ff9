"""One body on its way into the store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator

import pytest

from proxy.bundles.intake import SHORT, Intake, Sha256
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken, StoreFull
from proxy.model import Blob, Digest, Validator
from proxy.ports import SpoolState
from tests.memory_store import MemoryStore

_LONG = os.urandom(9 * SHORT + 17)


@pytest.fixture
async def hashing() -> AsyncIterator[Workers]:
    """Threads that hash."""
    workers = Workers("hashing", 2)
    yield workers
    await workers.close()


async def _take(store: MemoryStore, hashing: Workers, body: bytes, name: str | None = "a", step: int = 300_000) -> Blob:
    hashes = Sha256()
    intake = Intake(store, hashing, hashes, len(body), name)
    try:
        for start in range(0, len(body), step):
            await intake.write(memoryview(body)[start : start + step])
        await intake.end()
        return await intake.adopt(hashes.value)
    finally:
        await intake.close()


def _sha256(body: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("body", [b"", b"short", b"m" * 200_000, _LONG[:SHORT], _LONG[: SHORT + 1], _LONG])
async def test_intake__any_length(hashing: Workers, body: bytes) -> None:
    """A body of any length comes whole, under its sha256."""
    store = MemoryStore()

    blob = await _take(store, hashing, body)

    assert (_sha256(body), len(body)) == (blob.digest, blob.size)
    with store.lease(blob) as descriptor:
        assert body == os.pread(descriptor, len(body) + 1, 0)
    assert {} == store.spools


async def test_intake__hashed_only(hashing: Workers) -> None:
    """A body without a name is hashed, and not stored."""
    store, hashes = MemoryStore(limit=0), Sha256()
    intake = Intake(store, hashing, hashes, len(_LONG), None)

    await intake.write(memoryview(_LONG))
    await intake.end()
    await intake.close()

    assert not intake.kept
    assert _sha256(_LONG).value == hashes.value


async def test_intake__after_one_that_was_killed(hashing: Workers) -> None:
    """What an earlier run left of the same body is written anew."""
    store = MemoryStore()
    spool = await store.spool("a", len(_LONG))
    await spool.write(0, [b"wrong" * 1000])
    await spool.checkpoint(SpoolState(None, Validator(), ((0, 5000),)))
    await spool.close(keep=True)

    blob = await _take(store, hashing, _LONG)

    with store.lease(blob) as descriptor:
        assert _LONG == os.pread(descriptor, len(_LONG) + 1, 0)


async def test_intake__no_room(hashing: Workers) -> None:
    """A body that does not fit leaves nothing."""
    store = MemoryStore(limit=SHORT)

    with pytest.raises(StoreFull):
        await _take(store, hashing, _LONG)
    with pytest.raises(StoreBroken, match="takes no more"):
        await _take(MemoryStore(limit=1), hashing, b"short")

    assert {} == store.spools


async def test_intake__closed_in_the_middle(hashing: Workers) -> None:
    """What was not adopted is gone."""
    store = MemoryStore()
    intake = Intake(store, hashing, Sha256(), len(_LONG), "a")
    await intake.write(memoryview(_LONG)[: 5 * SHORT])

    await intake.close()
    await intake.close()

    assert {} == store.spools
    assert store.blob(_sha256(_LONG)) is None
