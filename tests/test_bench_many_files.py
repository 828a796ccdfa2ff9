"""The bench of many files makes folders as a cache leaves them, and every file that it asks for is a hit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import many_files
from tests.storage.disk import PLENTY, opened


async def test_fill__a_store(tmp_path: Path) -> None:
    """All rows have files, and all files rows."""
    many_files.fill(tmp_path / "data", 2_000)
    async with opened(tmp_path / "data", PLENTY << 20) as store:
        assert (0, 0) == await store.inventory.sweep()
        assert 2_000 == len(store.inventory.blobs()) == len(await store.inventory.entries())


def test_hits__real_files(tmp_path: Path) -> None:
    """What is asked for is there, in a cache that has many names besides."""
    many_files.fill(tmp_path / "data", 1_500)
    cache = many_files.Cache(tmp_path / "cache", tmp_path / "data")
    try:
        took = many_files.hits(cache.port, many_files.paths()[:100:10])
        with pytest.raises(OSError, match="no hit"):
            many_files.hits(cache.port, ["/pypi/packages/none-1.0-py3-none-any.whl"])
    finally:
        cache.process.stop()
    assert 10 == len(took)
    assert cache.started > 0
