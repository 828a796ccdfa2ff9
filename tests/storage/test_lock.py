"""The lock of a data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.errors import StoreBroken
from proxy.storage.lock import FolderLock

_CHILD = """
import sys, pathlib
from proxy.storage.lock import FolderLock
lock = FolderLock.acquire(pathlib.Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_acquire__held_by_another_process(tmp_path: Path) -> None:
    """The message says which process has the folder; when that one is killed it may be had."""
    path = tmp_path / "lock"
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(StoreBroken, match=f"in use by process {child.pid}"):
            FolderLock.acquire(path)
        child.kill()

    lock = FolderLock.acquire(path)
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()
