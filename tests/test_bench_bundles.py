"""The bench of bundles makes a cache as downloads leave it, and measures the commands."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bench import bundles
from tests.storage.disk import opened


async def test_fill__what_downloads_leave(tmp_path: Path) -> None:
    """Each size has its file, with an address."""
    await bundles.fill(tmp_path / "data", [1000, 5_000_000])

    async with opened(tmp_path / "data") as store:
        assert [1000, 5_000_000] == sorted(record.size for record in store._blobs)
        assert 2 == len(store.keys("file:pypi:demo0:"))


@pytest.mark.timeout(120)
def test_main__tables(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each way, of both caches."""
    assert 0 == bundles.main(["--size", "0.003", "--files", "3", "--rounds", "1"])

    lines = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert ["export", "cp", "import", "stats"] == lines[1:5] == lines[6:]


def test_run__failure() -> None:
    """What failed is no figure."""
    with pytest.raises(RuntimeError, match="ended with 3"):
        bundles.run([sys.executable, "-c", "raise SystemExit(3)"])


async def test_fill__twice(tmp_path: Path) -> None:
    """Two caches of the same sizes have the same files."""
    for name in ("one", "other"):
        await asyncio.create_task(bundles.fill(tmp_path / name, [10, 20]))

    async with opened(tmp_path / "one") as one, opened(tmp_path / "other") as other:
        assert one.keys("") == other.keys("")
        assert {record.sha256 for record in one._blobs} == {record.sha256 for record in other._blobs}
