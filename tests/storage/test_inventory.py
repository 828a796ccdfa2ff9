"""What is stored, as a whole: listed, removed, verified."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec import structs

from proxy.errors import BlobDamaged, StoreBroken
from proxy.model import Entry
from proxy.storage.digest_set import DigestSet
from proxy.storage.disk_health import Undeleted
from proxy.storage.inventory import StoredBlob, StoredEntry
from proxy.storage.store import DiskStore
from tests.storage.disk import LARGE, adopt, digest, entry, file_of, fixed, keep, opened

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
            assert len(FIRST) == (await store.inventory.remove([digest(FIRST).value])).freed
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

        assert 0 == (await store.inventory.remove([], ["a"])).freed
        await store.flush()
        assert (None, True) == (store.find("a"), store.find("b") is not None)
        assert file_of(tmp_path, FIRST).exists()


async def test_remove__unknown(tmp_path: Path) -> None:
    """What was evicted meanwhile is nothing to remove."""
    async with opened(tmp_path) as store:
        assert 0 == (await store.inventory.remove([digest(FIRST).value], ["nothing"])).freed


async def test_remove__what_cannot_be_deleted(tmp_path: Path) -> None:
    """It does not count as freed, and is served on, with its address, also after a restart; the health says why."""
    async with opened(tmp_path) as store:
        await keep(store, "a", FIRST)
        await keep(store, "b", SECOND)
        await store.flush()
        with fixed(file_of(tmp_path, FIRST).parent):
            removal = await store.inventory.remove([digest(FIRST).value, digest(SECOND).value])
            health = store.healthy

        assert (len(SECOND), frozenset([digest(FIRST).value])) == (removal.freed, removal.left.blobs)
        assert removal.left.reason in {"Read-only file system", "Permission denied"}
        assert not health
        assert (entry("a", FIRST), None) == (store.find("a"), store.find("b"))
        assert (1, len(FIRST)) == store.inventory.total
    async with opened(tmp_path) as store:
        assert ["a"] == list(store.keys(""))
        assert len(FIRST) == (await store.inventory.remove([digest(FIRST).value])).freed


async def test_verify__damaged_file_that_cannot_be_deleted(tmp_path: Path) -> None:
    """It is dropped all the same, and it is told that its bytes are there still."""
    told: list[Undeleted] = []
    async with opened(tmp_path) as store:
        await keep(store, "a", FIRST)
        file_of(tmp_path, FIRST).write_bytes(b"other")
        with fixed(file_of(tmp_path, FIRST).parent):
            assert await store.inventory.verify(digest(FIRST).value, _ignore, told.append) is False

        assert [{digest(FIRST).value}] == [one.blobs for one in told]
        assert store.find("a") is None
        assert not store.inventory.holds(digest(FIRST).value)


async def test_remove_broken_off__what_cannot_be_deleted(tmp_path: Path) -> None:
    """It counts against the bound still."""
    async with opened(tmp_path) as store:
        spool = await store.spool("half", 1 << 20)
        await spool.write(0, [b"x" * 10_000])
        await spool.close(keep=True)
        left = store.inventory.broken_off
        with fixed(tmp_path / "spool"):
            removal = await store.inventory.remove_broken_off()

        assert (0, 1) == (removal.freed, len(removal.left.downloads))
        assert left == store.inventory.broken_off


async def test_remove_broken_off(tmp_path: Path) -> None:
    """What a download left that broke off is gone, and does not count any more."""
    async with opened(tmp_path) as store:
        spool = await store.spool("half", 1 << 20)
        await spool.write(0, [b"x" * 10_000])
        await spool.close(keep=True)
        left = store.inventory.broken_off

        assert left >= 10_000
        assert left == (await store.inventory.remove_broken_off()).freed
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


async def test_sweep__folder_that_is_away(tmp_path: Path) -> None:
    """No file is there then, and none of them is lost; nor is a file taken for damaged that is asked about."""
    path, aside = tmp_path / "data", tmp_path / "aside"
    async with opened(path) as store:
        await keep(store, "a", FIRST)
        path.rename(aside)
        path.mkdir()
        with pytest.raises(StoreBroken):
            await store.inventory.sweep()
        with pytest.raises(StoreBroken, match="folder cannot be read"):
            store.inventory.proved(digest(FIRST).value)
        path.rmdir()
        aside.rename(path)

        assert (0, 0) == await store.inventory.sweep()
        assert store.inventory.proved(digest(FIRST).value)


async def test_pin__never_evicted_also_after_a_restart(tmp_path: Path) -> None:
    """What is pinned stays, however long it was unused, and others give way; it stays after the next start, too."""
    limit = 3_000_000
    async with opened(tmp_path, limit) as store:
        await keep(store, "pinned", FIRST * 20_000)
        await store.inventory.pin([digest(FIRST * 20_000).value])
        for number in range(40):
            await keep(store, f"{number}", b"%d" % number * 100_000)
        assert store.find("pinned") is not None
        assert store.find("0") is None
    async with opened(tmp_path, limit) as store:
        assert [True] == [one.pinned for one in store.inventory.blobs() if one.sha256 == digest(FIRST * 20_000).value]
        for number in range(40):
            await keep(store, f"{number} again", b"a%d" % number * 100_000)
        assert store.find("pinned") is not None

        await store.inventory.pin((), [digest(FIRST * 20_000).value])
        for number in range(40):
            await keep(store, f"{number} more", b"b%d" % number * 100_000)
        assert store.find("pinned") is None
    async with opened(tmp_path, limit) as store:
        assert not [one for one in store.inventory.blobs() if one.pinned]


async def test_pin__of_everything(tmp_path: Path) -> None:
    """Where all room is pinned nothing more is stored, and nothing that is pinned goes."""
    async with opened(tmp_path, 3_000_000) as store:
        bodies = [bytes([number]) * 200_000 for number in range(9)]
        for number, body in enumerate(bodies):
            await keep(store, f"{number}", body)
        await store.inventory.pin(digest(body).value for body in bodies)

        assert await store.put(bytes(1_000_000)) is None
        assert all(store.find(f"{number}") is not None for number in range(9))


async def test_pin__address_that_gets_another_body(tmp_path: Path) -> None:
    """A pinned body stays when no address names it any more, also after a restart; unpinned it is the next to go."""
    async with opened(tmp_path, 3_000_000) as store:
        await keep(store, "a", FIRST)
        await store.inventory.pin([digest(FIRST).value])
        await keep(store, "a", SECOND)
        await store.flush()
        assert store.has(digest(FIRST))
    async with opened(tmp_path, 3_000_000) as store:
        assert store.has(digest(FIRST))
        await keep(store, "a", THIRD)
        await store.flush()
        assert [True, False] == [store.has(digest(body)) for body in (FIRST, SECOND)]

        await store.inventory.pin((), [digest(FIRST).value])
        for number in range(40):
            await keep(store, f"{number}", b"%d" % number * 100_000)
        assert not store.has(digest(FIRST))


async def test_pin__together(tmp_path: Path) -> None:
    """Of several changes at once none is lost, in memory and on disk."""
    digests = [f"{number:064x}" for number in range(20)]
    async with opened(tmp_path) as store:
        await asyncio.gather(*(store.inventory.pin([one]) for one in digests))
        await asyncio.gather(*(store.inventory.pin((), [one]) for one in digests[::2]))

    assert digests[1::2] == (tmp_path / "pins").read_text().split()


async def test_pin__disk_that_takes_nothing(tmp_path: Path) -> None:
    """What cannot be written down is not pinned."""
    async with opened(tmp_path) as store:
        await keep(store, "a", FIRST)
        (tmp_path / "pins").mkdir()
        with pytest.raises(StoreBroken):
            await store.inventory.pin([digest(FIRST).value])

        assert [False] == [one.pinned for one in store.inventory.blobs()]


async def test_expire__what_may_change(tmp_path: Path) -> None:
    """It counts as confirmed before that moment; an older moment stays, and a promised digest stands."""
    async with opened(tmp_path) as store:
        await keep(store, "page", FIRST)
        await keep(store, "promised", SECOND)
        await store.save(structs.replace(entry("promised", SECOND), promised=digest(SECOND)))

        found = [store.inventory.expire(key, 1.5) for key in ("page", "promised", "nothing")]
        again = store.inventory.expire("page", 3.0)

        assert ([True, False, False], True) == (found, again)
        page, promised = store.find("page"), store.find("promised")
        assert page is not None
        assert promised is not None
        assert (1.5, 2.0) == (page.checked, promised.checked)


async def _entries(store: DiskStore, prefix: str = "") -> list[Entry | None]:
    return [row.entry() async for rows in store.inventory.rows(prefix) for row in rows]


async def test_rows__entries_of_these_keys(tmp_path: Path) -> None:
    """Whole, by key; those whose body is gone are left out, and one that is damaged gives nothing."""
    async with opened(tmp_path) as store:
        await keep(store, "b:1", SECOND)
        await keep(store, "a:1", FIRST)
        await keep(store, "b", FIRST)
        await keep(store, "gone", THIRD)
        await store.inventory.remove([digest(THIRD).value])

        assert [store.find("a:1"), store.find("b"), store.find("b:1")] == await _entries(store)
        assert [store.find("b:1")] == await _entries(store, "b:")
        assert [] == await _entries(store, "c")
        row = (await anext(store.inventory.rows()))[0]
        assert None is row._replace(size=row.size + 1).entry()


async def test_holding__is_not_evicted(tmp_path: Path) -> None:
    """Until the end."""
    async with opened(tmp_path) as store:
        for body in (FIRST, SECOND):
            await keep(store, f"{len(body)}", body)
        both = [digest(body).value for body in (FIRST, SECOND)]

        with store.inventory.holding(DigestSet(both[:1])):
            assert both[1:] == [sha256 for sha256, _ in store._blobs.evictable()]
        assert both == [sha256 for sha256, _ in store._blobs.evictable()]


async def test_open__reads_without_a_use(tmp_path: Path) -> None:
    """The order of use stays; what is gone cannot be opened."""
    async with opened(tmp_path) as store:
        for body in (FIRST, SECOND):
            await store.put(body)
        before = store.inventory.blobs()

        with store.inventory.open(digest(FIRST).value) as descriptor:
            assert FIRST == os.read(descriptor, 100)
        assert before == store.inventory.blobs()
        with pytest.raises(BlobDamaged), store.inventory.open(digest(THIRD).value):
            pass


async def test_proved__by_stamp_or_digest(tmp_path: Path) -> None:
    """What was touched is hashed at once if it is short; what is damaged is dropped; what is long is checked soon."""
    async with opened(tmp_path) as store:
        for body in (FIRST, SECOND, LARGE):
            await keep(store, f"{len(body)}", body)
        assert all(store.inventory.proved(digest(body).value) for body in (FIRST, SECOND, LARGE))
        for body in (FIRST, LARGE):
            file_of(tmp_path, body).chmod(0o640)
        file_of(tmp_path, SECOND).write_bytes(b"x" * len(SECOND))

        proved = [store.inventory.proved(digest(body).value) for body in (FIRST, SECOND, LARGE, THIRD)]

        assert [True, False, False, False] == proved
        assert not store.inventory.holds(digest(SECOND).value)
        while not store.inventory.proved(digest(LARGE).value):
            await asyncio.sleep(0.01)


async def test_named__in_the_order_of_bodies(tmp_path: Path) -> None:
    """All entries of a body together, with its size, and what all blobs come to; also what was not written yet."""
    async with opened(tmp_path) as store:
        for key, body in (("b", SECOND), ("a", FIRST), ("c", SECOND)):
            await keep(store, key, body)
        await store.put(THIRD)
        expected = sorted(
            (digest(body).value, key, len(body)) for key, body in (("b", SECOND), ("a", FIRST), ("c", SECOND))
        )

        assert expected == [row for rows in [rows async for rows in store.inventory.named()] for row in rows]
        assert (3, len(FIRST + SECOND + THIRD)) == store.inventory.total


async def test_largest__with_their_entries(tmp_path: Path) -> None:
    """As many as are wanted."""
    async with opened(tmp_path) as store:
        for key, body in (("b", FIRST), ("a", LARGE), ("c", LARGE)):
            await keep(store, key, body)
        entry = store.find("a")
        assert entry is not None

        ((blob, entries),) = await store.inventory.largest(1)
        assert StoredBlob(digest(LARGE).value, len(LARGE)) == blob
        assert ["a", "c"] == [one.key for one in entries]
        assert StoredEntry("a", digest(LARGE).value, entry.checked) == entries[0]
        assert 2 == len(await store.inventory.largest(5))
