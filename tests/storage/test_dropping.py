"""The order in which blobs go."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from tests.storage.disk import digest, digests, file_of, keep, locked, opened


async def test_drop__row_before_file(tmp_path: Path) -> None:
    """The file stays until the row is gone: a kill in between leaves a file that is found again, not a row without."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        await store.settled()
        gate = threading.Event()
        held = store._threads.submit_index(gate.wait)
        store._drop(next(iter(store._blobs)))
        for _ in range(10):
            await store._threads.files(int)
        there = file_of(path, b"body").exists()
        gate.set()
        await asyncio.wrap_future(held)
        await store.settled()

        assert (True, False) == (there, file_of(path, b"body").exists())
        assert [] == digests(store)


async def test_drop__index_cannot_be_written(tmp_path: Path) -> None:
    """Where the index cannot be written the file goes all the same: its room is needed."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        await store.settled()
        with locked(path):
            store._drop(next(iter(store._blobs)))
            while file_of(path, b"body").exists():
                await asyncio.sleep(0.01)
            assert (None, None) == (store.find("a"), store.blob(digest(b"body")))
        store._backlog.try_again()
        await store.settled()
    async with opened(path) as store:
        assert (None, []) == (store.find("a"), digests(store))


async def test_drop__twice(tmp_path: Path) -> None:
    """Dropping what is gone does nothing."""
    async with opened(tmp_path / "data") as store:
        await keep(store, "a", b"body")
        record = next(iter(store._blobs))
        store._drop(record)
        store._drop(record)
        await keep(store, "b", b"body")
        store._drop(record)
        await store.settled()

        assert [digest(b"body")] == digests(store)
