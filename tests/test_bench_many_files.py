"""The bench of many files makes folders as a cache leaves them, and every file that it asks for is a hit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import large_store, many_files
from tests.storage.disk import PLENTY, opened


def test_kept__is_made_once(tmp_path: Path) -> None:
    """A second run has the store of the first, and what a run left half made is made anew."""
    (tmp_path / "1200-part").mkdir()
    (tmp_path / "1200-outdated").mkdir()
    made = large_store.kept(tmp_path, 1_200)
    inode = made.stat().st_ino

    assert made == large_store.kept(tmp_path, 1_200)
    assert (inode, [made]) == (made.stat().st_ino, list(tmp_path.iterdir()))


async def test_fill__a_store(tmp_path: Path) -> None:
    """All rows have files, and all files rows."""
    large_store.fill(tmp_path / "data", 2_000)
    async with opened(tmp_path / "data", PLENTY << 20) as store:
        assert (0, 0) == await store.inventory.sweep()
        assert 2_000 == len(store.inventory.blobs()) == len(await store.inventory.entries())


def test_hits__real_files(tmp_path: Path) -> None:
    """What is asked for is there, in a cache that has many names besides."""
    large_store.fill(tmp_path / "data", 1_500)
    cache = many_files.Cache(tmp_path / "cache", tmp_path / "data")
    try:
        took = many_files.hits(cache.port, large_store.paths()[:100:10])
        with pytest.raises(OSError, match="no hit"):
            many_files.hits(cache.port, ["/pypi/packages/none-1.0-py3-none-any.whl"])
    finally:
        cache.process.stop()
    assert 10 == len(took)
    assert cache.started > 0
