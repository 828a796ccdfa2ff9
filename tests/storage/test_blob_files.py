"""Files that have no row."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from tests.memory_store import stored
from tests.storage.disk import LARGE, digest, digests, file_of, keep, opened, verify


async def test_sweep__file_without_a_row(tmp_path: Path) -> None:
    """A file that a kill left between its renaming and its row is a blob again; anything else is left alone."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        for body in (b"left behind", LARGE):
            file_of(path, body).parent.mkdir(exist_ok=True)
            file_of(path, body).write_bytes(body)
        foreign = path / "index" / "sha256" / "notes.txt"
        foreign.write_text("mine")
        (path / "index" / "sha256" / "zz").mkdir()
        (file_of(path, b"body").parent / "short").write_text("mine")
        (file_of(path, b"body").parent / ("0" * 62)).mkdir()

        await store.sweep()

        assert set(digests(store)) == {digest(b"body"), digest(b"left behind"), digest(LARGE)}
        assert digests(store)[-1] == digest(b"body")
        blob = store.blob(digest(b"left behind"))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == b"left behind"
        assert store.blob(digest(LARGE)) is None
        assert await verify(store, digest(LARGE))
        assert store.blob(digest(LARGE)) is not None
        assert foreign.read_text() == "mine"
    async with opened(path) as store:
        assert store.blob(digest(LARGE)) is not None


async def test_sweep__file_that_is_being_deleted(tmp_path: Path) -> None:
    """A file that is there when names are read, and deleted before it is taken in, leaves no row and no blob."""
    async with opened(tmp_path / "data") as store:
        known = await keep(store, "a", b"body")
        await store.settled()
        gate = threading.Event()
        held = store._threads.submit_index(gate.wait)  # the deletion waits for its row
        try:
            store._drop(next(iter(store._blobs)))
            await store.sweep()
        finally:
            gate.set()
        await asyncio.wrap_future(held)
        await store.settled()

        assert digests(store) == []
        blob = await stored(store, b"body")
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == b"body"
        assert known.digest == blob.digest


async def test_sweep__row_without_a_file(tmp_path: Path) -> None:
    """A blob whose file is gone is none any more, nor what named it; others stay."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"gone")
        there = await keep(store, "b", b"there")
        file_of(path, b"gone").unlink()

        await store.sweep()

        assert digests(store) == [there.digest]
        assert list(store.keys("")) == ["b"]
    async with opened(path) as store:
        assert (store.find("a"), store.find("b")) == (None, there)


async def test_put__dropped_in_the_same_moment(tmp_path: Path) -> None:
    """A body that is stored again while its file is being deleted has its new file."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        for _ in range(20):
            store._drop(next(iter(store._blobs)))
            blob = await stored(store, b"body")
            await store.settled()
            with store.lease(blob) as descriptor:
                assert os.pread(descriptor, 100, 0) == b"body"
