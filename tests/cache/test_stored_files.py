"""Stored files: compared in every algorithm, found again by address and by digest, and recorded."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from proxy.cache.stored_files import StoredFiles, is_stored
from proxy.errors import StoreFull
from proxy.model import ALGORITHMS, Blob, Digest, Entry, Validator
from tests.cache.conftest import BODY, HandClock, wanted
from tests.memory_store import MemoryStore, stored

OTHER = BODY[::-1]
TAGGED = Validator('"tag"')


def digest(algorithm: str, body: bytes = BODY) -> Digest:
    """The digest of a body in an algorithm."""
    return Digest(algorithm, hashlib.new(algorithm, body, usedforsecurity=False).hexdigest())


@pytest.fixture
async def stored_files(store: MemoryStore, clock: HandClock) -> AsyncIterator[StoredFiles]:
    """What is tested."""
    made = StoredFiles(store, clock)
    yield made
    await made.close()


async def hold(store: MemoryStore, promised: Digest | None = None, *, proved: bool = True, body: bytes = BODY) -> Entry:
    """Have a file stored, with what was promised of it when it came."""
    blob = await stored(store, body)
    entry = Entry("file:demo", "", blob.digest, blob.size, "", Validator(), 1.0, 1.0, promised, proved)
    await store.save(entry)
    return entry


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("before", [None, *ALGORITHMS])
@pytest.mark.parametrize("right", [True, False])
async def test_matches__whatever_was_promised_before(
    stored_files: StoredFiles, store: MemoryStore, algorithm: str, before: str | None, right: bool
) -> None:
    """The file is compared in the algorithm of today's promise, whichever its entry knows; from then on it knows it."""
    entry = await hold(store, None if before is None else digest(before))
    promised = digest(algorithm, BODY if right else OTHER)
    assert right is await stored_files.matches(entry, promised)
    kept = store.find(entry.key)
    assert kept is not None
    assert digest(algorithm) == kept.known(algorithm)
    store._blobs[entry.digest.value].body = b"damaged"  # it is not read again
    assert right is await stored_files.matches(kept, promised)


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from(ALGORITHMS))
def test_matches__only_for_the_bytes_that_have_it(kept: bytes, other: bytes, algorithm: str) -> None:
    """A promise is kept by the very bytes that it was made of."""

    async def run() -> bool:
        store = MemoryStore()
        stored_files = StoredFiles(store, HandClock())
        try:
            return await stored_files.matches(await hold(store, body=kept), digest(algorithm, other))
        finally:
            await stored_files.close()

    assert (kept == other) is asyncio.run(run())


async def test_matches__herd(stored_files: StoredFiles, store: MemoryStore) -> None:
    """Many who ask at once have a file hashed once."""
    entry = await hold(store)
    asking = [asyncio.create_task(stored_files.matches(entry, digest("sha512"))) for _ in range(20)]
    await asyncio.sleep(0)
    assert 1 == len(stored_files._flights._tasks)
    assert [True] * 20 == await asyncio.gather(*asking)


async def test_matches__of_a_damaged_file(stored_files: StoredFiles, store: MemoryStore) -> None:
    """A file that cannot be read does not match."""
    entry = await hold(store)
    store.damage(entry.digest, b"damaged")
    assert not await stored_files.matches(entry, digest("md5"))
    assert not await stored_files.matches(entry, digest("md5"))


async def test_matches__on_a_full_disk(stored_files: StoredFiles, store: MemoryStore) -> None:
    """The answer does not depend on whether it can be written down."""
    entry = await hold(store)
    store.failure = lambda: StoreFull("full")
    assert await stored_files.matches(entry, digest("md5"))


async def test_matches__of_a_file_that_was_replaced_meanwhile(stored_files: StoredFiles, store: MemoryStore) -> None:
    """What was measured of an older file is not written down for the one that is there now."""
    entry = await hold(store)
    await store.save(structs.replace(entry, checked=2.0))
    assert await stored_files.matches(entry, digest("md5"))
    kept = store.find(entry.key)
    assert kept is not None
    assert kept.promised is None


async def bring(
    store: MemoryStore,
    stored_files: StoredFiles,
    promised: Digest | None,
    *,
    key: str = "file:demo",
    proved: bool = True,
) -> Blob:
    """A file came, and was compared with this digest."""
    blob = await stored(store, BODY)
    await stored_files.record(replace(wanted(None, key=key), digest=promised, proved=proved), blob, TAGGED)
    return blob


@pytest.mark.parametrize("before", [None, *(digest(algorithm) for algorithm in ALGORITHMS)])
@pytest.mark.parametrize("now", [None, *(digest(algorithm) for algorithm in ALGORITHMS)])
async def test_find__what_is_promised_now(
    store: MemoryStore, stored_files: StoredFiles, before: Digest | None, now: Digest | None
) -> None:
    """The right bytes are found, whatever was promised when they came."""
    blob = await bring(store, stored_files, before)
    assert blob == await stored_files.find(replace(wanted(None), digest=now))


@pytest.mark.parametrize("before", [None, *(digest(algorithm) for algorithm in ALGORITHMS)])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_find__another_file_is_promised_now(
    store: MemoryStore, stored_files: StoredFiles, before: Digest | None, algorithm: str
) -> None:
    """Other bytes are not found, whatever was promised when they came."""
    await bring(store, stored_files, before)
    assert await stored_files.find(replace(wanted(None), digest=digest(algorithm, OTHER))) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_find__under_another_address(store: MemoryStore, stored_files: StoredFiles, algorithm: str) -> None:
    """A digest finds a file whatever its address, unless two files may have been made that have it."""
    blob = await bring(store, stored_files, digest(algorithm))
    other = replace(wanted(None, key="file:other"), digest=digest(algorithm))
    found = blob if algorithm not in ("md5", "sha1") else None
    assert found == await stored_files.find(other)
    assert (found is not None) is (store.find("file:other") is not None)


async def test_find__between_adoption_and_record(store: MemoryStore, stored_files: StoredFiles) -> None:
    """Who finds the blob of a download before that wrote it down says of it what upstream said."""
    blob = await stored(store, BODY)
    file = replace(wanted(None), digest=digest("sha256"))

    assert blob == await stored_files.find(file, TAGGED)
    entry = store.find(file.key)
    assert entry is not None
    assert TAGGED == entry.validator


async def test_find__is_not_to(store: MemoryStore, stored_files: StoredFiles) -> None:
    """What is stored under the key is another file."""
    await bring(store, stored_files, None)
    assert await stored_files.find(replace(wanted(None), renew=True)) is None


async def test_find__cannot_be_compared(store: MemoryStore, stored_files: StoredFiles) -> None:
    """A file whose bytes cannot be read is fetched."""
    blob = await bring(store, stored_files, None)
    store.damage(blob.digest, b"damaged")
    assert await stored_files.find(replace(wanted(None), digest=digest("sha512"))) is None


async def test_record__what_was_promised(store: MemoryStore, stored_files: StoredFiles) -> None:
    """The entry says what the file was compared with, and whether that could be learnt."""
    await bring(store, stored_files, digest("sha512"), proved=False)
    entry = store.find("file:demo")
    assert entry is not None
    assert (digest("sha512"), False, TAGGED) == (entry.promised, entry.proved, entry.validator)


async def test_record__on_a_disk_that_fails(store: MemoryStore, stored_files: StoredFiles) -> None:
    """The file was given to clients all the same."""
    blob = await stored(store, BODY)
    store.failure = lambda: StoreFull("full")
    await stored_files.record(replace(wanted(None), digest=digest("sha512")), blob, TAGGED)
    assert store.find("file:demo") is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_is_stored__as_it_would_be_found(stored_files: StoredFiles, store: MemoryStore, algorithm: str) -> None:
    """By a digest that identifies the bytes, under whatever address; and no use of them is noted."""
    promised = digest(algorithm)
    assert not is_stored(promised, store)
    await stored_files.record(replace(wanted(), digest=promised), await stored(store, BODY), Validator())
    other = replace(wanted(), key="file:other", digest=promised)
    assert is_stored(promised, store) is promised.strong
    assert promised.strong is (await stored_files.find(other) is not None)
    assert not is_stored(digest(algorithm, OTHER), store)
