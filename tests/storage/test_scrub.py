"""Reading all blobs again."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.storage.scrub import Scrubbed, scrub
from tests.storage.disk import LARGE, adopt, digest, entry, file_of, keep, opened


async def test_scrub__finds_rot(tmp_path: Path) -> None:
    """Bytes that changed are found without anybody asking for the file, and the blob goes with its entries."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"rotten")
        await keep(store, "b", b"sound")
        await adopt(store, "large", LARGE)
        await store.save(entry("large", LARGE))
        for body in (b"rotten", LARGE):
            file = file_of(path, body)
            before = file.stat()
            with file.open("r+b") as opened_file:
                opened_file.write(b"R")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

        assert await scrub(store, None) == Scrubbed(checked=3, damaged=2)

        assert store.digests() == [digest(b"sound")]
        assert store.find("a") is None
        assert store.find("large") is None
        assert store.find("b") == entry("b", b"sound")
        assert await scrub(store, 1e12) == Scrubbed(checked=1, damaged=0)


async def test_scrub__missing_file(tmp_path: Path) -> None:
    """A blob whose file is gone is dropped."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        file_of(path, b"body").unlink()

        assert await scrub(store, None) == Scrubbed(checked=1, damaged=1)
        assert store.digests() == []


async def test_verify__unknown(tmp_path: Path) -> None:
    """Of what is not there nothing can be said."""
    async with opened(tmp_path / "data") as store:
        assert await store.verify(digest(b"body")) is None
