"""What an earlier run left in the spool folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

from proxy.storage.journal import Journal
from proxy.storage.spool_folder import clear, remove

WEEK = 7 * 24 * 3600


def _leave(folder: Path, name: str, boot: str = "boot", size: int = 5000) -> None:
    journal = Journal(folder / f"{name}.journal")
    journal.open()
    journal.begin(name, boot)
    journal.close()
    (folder / f"{name}.part").write_bytes(bytes(size))


def test_clear__keeps_what_can_be_resumed(tmp_path: Path) -> None:
    """Downloads of this run of the machine stay, the oldest first; all else goes."""
    now = time.time()
    for age, name in ((10, "young"), (WEEK - 60, "older"), (WEEK + 60, "old"), (-1000, "future")):
        _leave(tmp_path, name)
        os.utime(tmp_path / f"{name}.journal", (now - age, now - age))
    _leave(tmp_path, "rebooted", boot="another")
    _leave(tmp_path, "empty", size=0)
    (tmp_path / "alone.part").write_bytes(b"x")
    (tmp_path / "alone too.journal").write_bytes(b"x")
    (tmp_path / "body.tmp").write_bytes(b"x")
    (tmp_path / "link.part").symlink_to(tmp_path / "young.part")
    (tmp_path / "link.journal").symlink_to(tmp_path / "young.journal")
    (tmp_path / "folder.part").mkdir()

    kept = clear(tmp_path, now, "boot")

    assert [name for name, _ in kept] == ["older", "young", "future"]
    assert all(size >= 5000 for _, size in kept)
    expected = {f"{name}.{end}" for name in ("older", "young", "future") for end in ("part", "journal")}
    assert {path.name for path in tmp_path.iterdir()} == expected | {"folder.part"}


def test_remove__twice(tmp_path: Path) -> None:
    """What is gone already is no failure."""
    _leave(tmp_path, "whl")

    remove(tmp_path, ["whl"])
    remove(tmp_path, ["whl"])

    assert list(tmp_path.iterdir()) == []
