"""The folder of files under construction, between runs: what an earlier one left, and what of it may be resumed.

Each function is blocking work for a thread, and raises OSError.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterable
from pathlib import Path

from proxy.storage.journal import left_by

_KEPT = 7 * 24 * 3600  # seconds after which nobody is expected to go on with a download


def clear(folder: Path, now: float, boot: str) -> list[tuple[str, int]]:
    """Delete what nobody can resume. Gives the rest, the oldest first: names, and bytes on disk.

    `now` is wall time in seconds since the epoch, `boot` this run of the machine.
    """
    kept: list[tuple[float, str, int]] = []
    files = {path.name: path.lstat() for path in folder.iterdir()}
    for name, status in files.items():
        path = folder / name
        journal = files.get(f"{path.stem}.journal")
        if path.suffix != ".part" or not stat.S_ISREG(status.st_mode) or not status.st_size or journal is None:
            continue
        if now - journal.st_mtime <= _KEPT and left_by(path.with_suffix(".journal"), boot):
            kept.append((journal.st_mtime, path.stem, status.st_blocks * 512))
    kept.sort()
    keep = {stem for _, stem, _ in kept}
    for name, status in files.items():
        path = folder / name
        # Folders are nobody's here: whoever made one may want it back.
        if not stat.S_ISDIR(status.st_mode) and not (path.stem in keep and path.suffix in (".part", ".journal")):
            path.unlink()
    return [(stem, size) for _, stem, size in kept]


def remove(folder: Path, names: Iterable[str]) -> None:
    """Delete downloads that broke off."""
    for name in names:
        for suffix in (".journal", ".part"):
            with contextlib.suppress(FileNotFoundError):
                (folder / f"{name}{suffix}").unlink()
