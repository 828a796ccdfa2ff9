"""What is stored, as a whole: listed, removed, verified."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged
from proxy.storage.inventory import StoredBlob, StoredEntry
from tests.storage.disk import LARGE, adopt, digest, entry, file_of, keep, opened

FIRST, SECOND, THIRD = b"first", b"second body", b"the third"


def _ignore(_: int) -> None:
    """Progress that nobody looks at."""


async def test_entries__also_what_is_not_written_yet(tmp_path: Path) -> None:
    """Each address with its body, by key; those whose body is gone are left out."""
    async with opened(tmp_path) as store:
        await keep(store, "b", SECOND)
        await keep(store, "a", FIRST)
        await keep(store, "c", FIRST)
        await keep(store, "gone", THIRD)
        await store.inventory.remove([digest(THIRD).value])

        assert [
            StoredEntry("a", digest(FIRST).value, 2.0),
            StoredEntry("b", digest(SECOND).value, 2.0),
            StoredEntry("c", digest(FIRST).value, 2.0),
        ] == await store.inventory.entries()


async def test_entries__more_than_a_piece(tmp_path: Path) -> None:
    """The list is read in pieces, and is whole."""
    keys = [f"key {number:05}" for number in range(6_000)]
    async with opened(tmp_path) as store:
        await store.put(FIRST)
        for number, key in enumerate(keys):
            await store.save(entry(key, FIRST))
            if number % 1_000 == 0:
                await store.flush()

        assert keys == [one.key for one in await store.inventory.entries()]


async def test_blobs__in_the_order_of_use(tmp_path: Path) -> None:
    """The longest unused comes first."""
    async with opened(tmp_path) as store:
        for body in (FIRST, SECOND, THIRD):
            await store.put(body)
        store.blob(digest(FIRST))

        expected = [StoredBlob(digest(body).value, len(body)) for body in (SECOND, THIRD, FIRST)]
        assert expected == store.inventory.blobs()
        assert store.inventory.holds(digest(FIRST).value)


async def test_remove__while_somebody_reads(tmp_path: Path) -> None:
    """The reader reads on; for all others the body and its addresses are gone, on the disk and after a restart."""
    async with opened(tmp_path) as store:
        await keep(store, "a", FIRST)
        await keep(store, "b", SECOND)
        blob = store.blob(digest(FIRST))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert len(FIRST) == await store.inventory.remove([digest(FIRST).value])
            assert FIRST == os.pread(descriptor, 100, 0)
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass

        assert store.find("a") is None
        assert not file_of(tmp_path, FIRST).exists()
    async with opened(tmp_path) as store:
        assert ["b"] == list(store.keys(""))


async def test_remove__an_address_alone(tmp_path: Path) -> None:
    """The bytes stay as long as another address names them."""
    async with opened(tmp_path) as store:
        await keep(store, "a", FIRST)
        await store.save(entry("b", FIRST))

        assert 0 == await store.inventory.remove([], ["a"])
        await store.flush()
        assert (None, True) == (store.find("a"), store.find("b") is not None)
        assert file_of(tmp_path, FIRST).exists()


async def test_remove__unknown(tmp_path: Path) -> None:
    """What was evicted meanwhile is nothing to remove."""
    async with opened(tmp_path) as store:
        assert 0 == await store.inventory.remove([digest(FIRST).value], ["nothing"])


async def test_remove_broken_off(tmp_path: Path) -> None:
    """What a download left that broke off is gone, and does not count any more."""
    async with opened(tmp_path) as store:
        spool = await store.spool("half", 1 << 20)
        await spool.write(0, [b"x" * 10_000])
        await spool.close(keep=True)
        left = store.inventory.broken_off

        assert left >= 10_000
        assert left == await store.inventory.remove_broken_off()
        assert 0 == store.inventory.broken_off
        assert [] == list((tmp_path / "spool").iterdir())


async def test_verify__tells_how_far_it_is(tmp_path: Path) -> None:
    """All bytes of a file are told, piece by piece; a wrong file is dropped, and one that is gone is not known."""
    read: list[int] = []
    async with opened(tmp_path) as store:
        await adopt(store, "large", LARGE)
        await keep(store, "a", FIRST)
        with file_of(tmp_path, FIRST).open("r+b") as file:
            file.write(b"F")

        assert await store.inventory.verify(digest(LARGE).value, read.append)
        assert (len(LARGE), True) == (sum(read), len(read) > 1)
        assert await store.inventory.verify(digest(FIRST).value, _ignore) is False
        assert store.find("a") is None
        assert await store.inventory.verify(digest(FIRST).value, _ignore) is None


async def test_sweep__what_a_hand_did(tmp_path: Path) -> None:
    """A file that somebody put there is found, and a blob whose file was deleted is lost."""
    async with opened(tmp_path) as store:
        await keep(store, "a", FIRST)
        file_of(tmp_path, FIRST).unlink()
        file_of(tmp_path, SECOND).parent.mkdir(parents=True, exist_ok=True)
        file_of(tmp_path, SECOND).write_bytes(SECOND)

        assert (1, 1) == await store.inventory.sweep()
        assert [digest(SECOND).value] == [one.sha256 for one in store.inventory.blobs()]
