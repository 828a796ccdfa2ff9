"""A descriptor that is held open together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.errors import StoreBroken
from proxy.storage.shared_file import SharedFile
from tests.storage.disk import LARGE, digest, file_of, opened


class File(SharedFile):
    """One whose end is called from outside."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fd = os.open(path, os.O_RDONLY)

    def end(self) -> None:
        """The owner is done, and it became nothing."""
        self._release()


def test_share__until_the_last(tmp_path: Path) -> None:
    """The descriptor is closed when the owner and all who share it are done, in any order."""
    (tmp_path / "file").write_bytes(b"body")
    file = File(tmp_path / "file")
    with file.share() as descriptor:
        with file.share() as same:
            assert descriptor == same
        file.end()
        assert os.pread(descriptor, 10, 0) == b"body"
    assert -1 == file.fd
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_share__became_nothing(tmp_path: Path) -> None:
    """Who comes after the end of a file that became nothing is told so."""
    (tmp_path / "file").write_bytes(b"body")
    file = File(tmp_path / "file")
    file.end()
    with pytest.raises(StoreBroken, match="gone"), file.share():
        pass


@pytest.mark.parametrize("brief", [False, True])
async def test_share__blob_is_gone(tmp_path: Path, brief: bool) -> None:
    """Who comes after the end reads the blob, as long as it is there."""
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", len(LARGE), brief=brief)
        await spool.write(0, [LARGE])
        await store.adopt(spool, digest(LARGE), len(LARGE))
        with spool.share() as descriptor:
            assert LARGE == os.pread(descriptor, len(LARGE), 0)
        file_of(tmp_path / "data", LARGE).unlink()
        with pytest.raises(StoreBroken, match="cannot be opened"), spool.share():
            pass
