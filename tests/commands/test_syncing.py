"""A long file that is being written has its bytes on the disk soon behind."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from proxy.commands.syncing import synced_behind
from tests.system import SYNC

_LONG = 200 << 20


def test_synced_behind__one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long file is synced while it is written, never twice at once, and the end waits for the disk."""
    gate, began, synced = threading.Event(), threading.Event(), list[int]()

    def sync(descriptor: int) -> None:
        began.set()
        gate.wait()
        synced.append(descriptor)

    monkeypatch.setattr(os, SYNC, sync)
    with (tmp_path / "file").open("wb") as file, synced_behind(file.fileno()) as disk:
        disk.wrote(1000)
        assert not began.is_set()
        disk.wrote(_LONG)
        disk.wrote(2 * _LONG)
        began.wait()
        assert [] == synced
        gate.set()

    assert 1 == len(synced)


def test_synced_behind__short_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short one is left to who needs it."""
    monkeypatch.setattr(os, SYNC, lambda _: pytest.fail("it is short"))

    with (tmp_path / "file").open("wb") as file, synced_behind(file.fileno()) as disk:
        disk.wrote(1 << 20)


@pytest.mark.parametrize("again", [False, True])
def test_synced_behind__disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """The system tells an error once: it is not lost."""
    tried = threading.Event()

    def sync(_: int) -> None:
        tried.set()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, SYNC, sync)
    with (tmp_path / "file").open("wb") as file:
        with pytest.raises(OSError, match="No space"), synced_behind(file.fileno()) as disk:
            disk.wrote(_LONG)
            tried.wait()
            while again:
                disk.wrote(2 * _LONG)
