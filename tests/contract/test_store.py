"""What every store promises (`ports.Store`, `ports.Spool`), held against the disk and against the one in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec import structs

from proxy.errors import BlobDamaged, StoreFull
from proxy.events import Event, Evicted, Stored
from proxy.model import Blob, Digest, Entry, Validator
from proxy.ports import Spool, SpoolState, Store
from proxy.storage.opening import open_disk_store
from proxy.storage.store import DiskStore
from tests.memory_store import MemoryStore, stored
from tests.storage.disk import FixedClock, digest, entry

LIMIT = 10 << 20
PART = 1 << 20


@pytest.fixture
def events() -> list[Event]:
    """What the store reported."""
    return []


@pytest.fixture(params=["disk", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, events: list[Event]) -> AsyncGenerator[Store]:
    """A store of ten megabytes."""
    if request.param == "memory":
        yield MemoryStore(LIMIT, events.append)
        return
    disk = await open_disk_store(tmp_path / "data", LIMIT, events.append, FixedClock())
    yield disk
    await disk.close()


async def keep(store: Store, key: str, body: bytes) -> Entry:
    """Store a body and an entry that names it."""
    await store.put(body)
    known = entry(key, body)
    await store.save(known)
    return known


async def settled(store: Store) -> None:
    """What follows from what was done is done too."""
    if isinstance(store, DiskStore):
        await store.flush()


def damage(store: Store, blob: Blob) -> None:
    """Change a byte behind the store's back."""
    if isinstance(store, MemoryStore):
        store.damage(blob.digest, b"Body")
    else:
        with Path(blob.path).open("r+b") as file:
            file.write(b"B")


async def download(store: Store, name: str, body: bytes) -> Spool:
    """A finished download, not yet adopted."""
    spool = await store.spool(name, len(body))
    await spool.write(0, [body])
    return spool


def content(store: Store, body: bytes) -> bytes:
    """Read a stored body back through a lease."""
    blob = store.blob(digest(body))
    assert blob is not None
    with store.lease(blob) as descriptor:
        return os.pread(descriptor, len(body) + 1, 0)


async def test_find__unknown_key(store: Store) -> None:
    """Nothing is known of an address that was never saved."""
    assert store.find("a") is None
    assert store.blob(digest(b"a")) is None


async def test_find__saved(store: Store) -> None:
    """An entry comes back as it was saved."""
    known = await keep(store, "pypi/päckage", b"body")

    assert known == store.find("pypi/päckage")
    assert content(store, b"body") == b"body"


async def test_stands(store: Store) -> None:
    """Until the key has another body or address, or none; a later word of upstream for the same changes nothing."""
    first = await keep(store, "a", b"first")
    assert store.stands(first)
    await store.save(structs.replace(first, checked=first.checked + 60))
    assert store.stands(first)
    await store.save(structs.replace(first, url="https://files.example/elsewhere"))
    assert not store.stands(first)
    second = await keep(store, "a", b"second")
    assert not store.stands(first)
    assert store.stands(second)
    await store.forget("a")
    assert not store.stands(second)


async def test_keys__prefix(store: Store) -> None:
    """Keys are given by their beginning, sorted, whatever characters they have."""
    for key in ("b/2", "b/1", "a", "b/%", "c", "b/￿", "b"):
        await keep(store, key, b"same body")

    assert list(store.keys("b/")) == ["b/%", "b/1", "b/2", "b/￿"]
    assert list(store.keys("")) == sorted(["b/2", "b/1", "a", "b/%", "c", "b/￿", "b"])


async def test_save__renewed(store: Store) -> None:
    """Saving again replaces what was known, and keeps the body that is still named."""
    known = await keep(store, "a", b"body")
    assert await store.save(structs.replace(known, checked=99.0))

    assert store.find("a") == structs.replace(known, checked=99.0)
    assert content(store, b"body") == b"body"


async def test_save__last_name_of_a_blob_replaced(store: Store) -> None:
    """A body that only the replaced entry named goes; one that another entry names stays."""
    await keep(store, "a", b"old")
    await keep(store, "b", b"shared")
    await keep(store, "c", b"shared")

    await keep(store, "a", b"new")
    await keep(store, "b", b"newer")
    await settled(store)

    assert store.blob(digest(b"old")) is None
    assert content(store, b"shared") == b"shared"


async def test_save__blob_is_gone(store: Store) -> None:
    """An entry without its body is as good as none."""
    assert not await store.save(entry("a", b"never stored"))

    assert store.find("a") is None


async def test_forget__last_name(store: Store) -> None:
    """Forgetting an entry drops the body with the last name, and only then."""
    await keep(store, "a", b"body")
    await keep(store, "b", b"body")

    await store.forget("a")
    assert store.find("a") is None
    assert content(store, b"body") == b"body"
    await store.forget("b")
    await settled(store)
    assert store.blob(digest(b"body")) is None
    await store.forget("unknown")


async def test_forget__while_leased(store: Store) -> None:
    """Who reads a body is not disturbed by its entry being forgotten."""
    await keep(store, "a", b"body")
    blob = store.blob(digest(b"body"))
    assert blob is not None

    with store.lease(blob) as descriptor:
        await store.forget("a")
        assert os.pread(descriptor, 10, 0) == b"body"


async def test_blob__other_algorithm(store: Store) -> None:
    """Bodies are named by sha256 only."""
    await store.put(b"body")

    md5 = Digest("md5", hashlib.md5(b"body").hexdigest())
    assert store.blob(md5) is None
    assert not store.has(md5)


async def test_put__twice_at_once(store: Store) -> None:
    """The same body stored twice at the same time is one blob."""
    first, second = await asyncio.gather(store.put(b"body"), store.put(b"body"))

    assert first == second
    assert content(store, b"body") == b"body"


async def test_put__empty(store: Store) -> None:
    """An empty body is a body."""
    blob = await stored(store, b"")

    assert blob.size == 0
    assert content(store, b"") == b""


async def test_put__larger_than_the_bound(store: Store) -> None:
    """What can never fit is refused, and nothing is evicted for it."""
    await keep(store, "a", b"body")

    assert await store.put(bytes(LIMIT + 1)) is None
    assert content(store, b"body") == b"body"


async def test_lease__damaged(store: Store) -> None:
    """Another byte in the file: the blob and every entry that names it are dropped, and can be stored again."""
    await keep(store, "a", b"body")
    await keep(store, "b", b"body")
    blob = store.blob(digest(b"body"))
    assert blob is not None
    damage(store, blob)

    with pytest.raises(BlobDamaged), store.lease(blob):
        pass
    assert store.blob(digest(b"body")) is None
    assert store.find("a") is None
    assert store.find("b") is None

    await store.put(b"body")
    assert content(store, b"body") == b"body"
    assert store.find("a") is None


async def test_recheck(store: Store) -> None:
    """A blob that cannot be read rightly is dropped, with its entries; a right one stays."""
    good, bad = await keep(store, "good", b"good body"), await keep(store, "bad", b"body")
    blobs = [blob for blob in (store.blob(good.digest), store.blob(bad.digest)) if blob is not None]
    damage(store, blobs[1])
    for blob in (*blobs, structs.replace(blobs[0], digest=Digest("sha256", "0" * 64))):
        store.recheck(blob)
    while store.find("bad") is not None:
        await asyncio.sleep(0)
    assert (good, None) == (store.find("good"), store.blob(bad.digest))
    assert [True, False] == [store.stands(good), store.stands(bad)]


async def test_lease__of_a_blob_that_went(store: Store) -> None:
    """A blob that was evicted since it was looked up is reported as damaged."""
    await keep(store, "a", b"body")
    blob = store.blob(digest(b"body"))
    assert blob is not None
    await store.forget("a")
    await settled(store)

    with pytest.raises(BlobDamaged), store.lease(blob):
        pass


async def test_spool__adopted(store: Store, events: list[Event]) -> None:
    """Bytes written in any order become a blob; the spool's readers go on reading."""
    body = os.urandom(100_000)
    spool = await store.spool("whl", len(body))
    with spool.share() as descriptor:
        await spool.write(50_000, [body[50_000:70_000], body[70_000:]])
        await spool.write(0, [body[:50_000]])
        assert await spool.read(49_990, 20) == body[49_990:50_010]

        blob = await store.adopt(spool, digest(body), len(body))

        assert os.pread(descriptor, 10, 0) == body[:10]
    assert blob == store.blob(digest(body))
    assert content(store, body) == body
    assert Stored(len(body), 1) in events


async def test_spool__shared_after_adoption(store: Store) -> None:
    """A follower that comes when all is over can still open the file."""
    spool = await download(store, "whl", b"body")
    await store.adopt(spool, digest(b"body"), 4)

    for _ in range(2):
        with spool.share() as descriptor:
            assert os.pread(descriptor, 10, 0) == b"body"


async def test_adopt__body_is_there_already(store: Store) -> None:
    """A second file of the same digest is dropped."""
    await keep(store, "a", b"body")
    spool = await download(store, "whl", b"body")

    blob = await store.adopt(spool, digest(b"body"), 4)

    assert blob == store.blob(digest(b"body"))
    assert content(store, b"body") == b"body"


async def test_adopt__shorter_than_an_earlier_version(store: Store) -> None:
    """Bytes behind the end, left by an attempt at another version, are cut off."""
    spool = await download(store, "whl", b"body of an earlier version")
    await spool.write(0, [b"body"])

    await store.adopt(spool, digest(b"body"), 4)

    assert content(store, b"body") == b"body"


async def test_spool__one_owner(store: Store) -> None:
    """Two owners of one download are a mistake in the program."""
    spool = await store.spool("whl", 4)

    with pytest.raises(RuntimeError):
        await store.spool("whl", 4)
    await spool.close(keep=False)


async def test_spool__write_after_its_end(store: Store) -> None:
    """Nobody writes into a file that may be a blob by now."""
    spool = await download(store, "whl", b"body")
    await store.adopt(spool, digest(b"body"), 4)

    with pytest.raises(RuntimeError):
        await spool.write(0, [b"x"])
    assert content(store, b"body") == b"body"


@pytest.mark.parametrize("brief", [False, True])
async def test_spool__taken_up_again(store: Store, brief: bool) -> None:
    """The last checkpoint and what was written since are there for the next owner."""
    spool = await store.spool("whl", PART, brief=brief)
    assert spool.state is None
    await spool.checkpoint(SpoolState(PART, Validator('"1"'), ()))
    await spool.write(10, [b"abc", b"def"])
    await spool.write(100, [b"x"])
    await spool.close(keep=True)

    again = await store.spool("whl", PART, brief=brief)

    assert again.state == SpoolState(PART, Validator('"1"'), ((10, 16), (100, 101)))
    assert await again.read(10, 6) == b"abcdef"
    await again.close(keep=False)


@pytest.mark.parametrize("brief", [False, True])
async def test_spool__checkpoint_replaces_what_was_written(store: Store, brief: bool) -> None:
    """An owner that does not go on with an earlier version says so, and nothing of that version is left."""
    spool = await store.spool("whl", PART, brief=brief)
    await spool.checkpoint(SpoolState(PART, Validator('"1"'), ()))
    await spool.write(0, [b"first version"])
    await spool.checkpoint(SpoolState(9, Validator('"2"'), ()))
    await spool.write(0, [b"new"])
    await spool.close(keep=True)

    again = await store.spool("whl", PART, brief=brief)

    assert again.state == SpoolState(9, Validator('"2"'), ((0, 3),))
    await again.close(keep=False)


@pytest.mark.parametrize("brief", [False, True])
async def test_spool__restarted(store: Store, brief: bool) -> None:
    """After a restart nothing of what was there is believed."""
    spool = await store.spool("whl", PART, brief=brief)
    await spool.checkpoint(SpoolState(PART, Validator('"1"'), ()))
    await spool.write(0, [b"first"])
    await spool.restart()
    assert spool.state is None
    assert await spool.read(0, 10) == b""
    await spool.close(keep=True)

    again = await store.spool("whl", PART, brief=brief)
    assert again.state is None
    await again.close(keep=False)


@pytest.mark.parametrize("brief", [False, True])
async def test_spool__given_up(store: Store, brief: bool) -> None:
    """A download that is given up leaves nothing for the next owner, and may still be read by its followers."""
    spool = await store.spool("whl", PART, brief=brief)
    await spool.checkpoint(SpoolState(PART, Validator('"1"'), ()))
    await spool.write(0, [b"body"])
    with spool.share() as descriptor:
        await spool.close(keep=False)
        assert os.pread(descriptor, 10, 0) == b"body"

    again = await store.spool("whl", PART, brief=brief)
    assert again.state is None
    await again.close(keep=False)


async def test_bound__longest_unused_goes(store: Store, events: list[Event]) -> None:
    """Room is made by evicting what was unused the longest, with its entries."""
    bodies = [bytes([number]) * PART for number in range(8)]
    for number, body in enumerate(bodies):
        await keep(store, str(number), body)
    assert store.blob(digest(bodies[0])) is not None
    assert store.has(digest(bodies[1]))  # which is no use

    spool = await store.spool("whl", 3 * PART)

    assert store.find("1") is None
    assert store.blob(digest(bodies[1])) is None
    assert not store.has(digest(bodies[1]))
    assert store.blob(digest(bodies[0])) is not None
    assert Evicted(PART) in events
    await spool.close(keep=False)


async def test_bound__never_a_blob_in_use(store: Store) -> None:
    """What is being sent is not evicted, however old."""
    first, second = b"1" * (4 * PART), b"2" * (4 * PART)
    await store.put(first)
    await store.put(second)
    blob = store.blob(digest(first))
    assert blob is not None
    assert store.blob(digest(second)) is not None

    with store.lease(blob):
        spool = await store.spool("whl", 4 * PART)
        assert store.blob(digest(first)) is not None
        assert store.blob(digest(second)) is None
        with pytest.raises(StoreFull):
            await store.spool("another", 4 * PART)
    await spool.close(keep=False)


async def test_bound__reserved_before_written(store: Store) -> None:
    """Two downloads that do not fit together are not both begun, though nothing is written yet."""
    spool = await store.spool("first", LIMIT * 2 // 3)

    with pytest.raises(StoreFull):
        await store.spool("second", LIMIT * 2 // 3)

    await spool.close(keep=False)
    second = await store.spool("second", LIMIT * 2 // 3)
    await second.close(keep=False)


async def test_bound__download_of_unknown_length(store: Store) -> None:
    """A download that grows makes room as it does, and is stopped at the bound."""
    await store.put(b"1" * (4 * PART))
    spool = await store.spool("whl", None)
    for number in range(7):
        await spool.write(number * PART, [bytes(PART)])
    assert store.blob(digest(b"1" * (4 * PART))) is None

    for number in (7, 8, 9):
        with suppress(StoreFull):  # the disk's index takes some of the room
            await spool.write(number * PART, [bytes(PART)])
    with pytest.raises(StoreFull):
        await spool.write(10 * PART, [bytes(PART)])
    await spool.close(keep=False)


async def test_bound__download_that_broke_off_makes_room(store: Store) -> None:
    """What a broken off download left counts, and goes first."""
    body = b"1" * (2 * PART)
    await store.put(body)
    spool = await store.spool("whl", 4 * PART)
    await spool.checkpoint(SpoolState(4 * PART, Validator('"1"'), ()))
    await spool.write(0, [bytes(4 * PART)])
    await spool.close(keep=True)

    other = await store.spool("other", 5 * PART)
    await other.close(keep=False)

    assert content(store, body) == body
    again = await store.spool("whl", 4 * PART)
    assert again.state is None
    await again.close(keep=False)
