"""The files of blobs: brought to the places that their names say, and deleted. One at a time for each digest.

So a blob that is dropped and stored again cannot lose its new file to the deletion of the old one. `Places` says whose
turn it is, on the event loop; the functions are blocking work for a thread, and raise OSError.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from proxy.storage.proof import stamp_of

_TRIES = 5


class Places:
    """Mutable state: the digests whose files are being moved or deleted. Changed on the event loop only."""

    def __init__(self) -> None:
        self._taken: dict[str, asyncio.Event] = {}

    def taken(self, value: str) -> bool:
        """Whether the file of the blob `value` is being moved or deleted."""
        return value in self._taken

    async def free(self, value: str) -> None:
        """Wait until it is not. Whoever takes it then does so before the next await."""
        while (other := self._taken.get(value)) is not None:
            await other.wait()

    def take(self, values: Iterable[str]) -> Callable[[], None]:
        """Take free ones; gives the function that makes them free again."""
        taken, done = tuple(values), asyncio.Event()
        for value in taken:
            assert value not in self._taken, "one at a time"
            self._taken[value] = done

        def release() -> None:
            for value in taken:
                del self._taken[value]
            done.set()

        return release


def move(source: Path, target: Path) -> str:
    """Make a finished file the one at `target`, whatever is there. Gives its stamp."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    for left in reversed(range(_TRIES)):  # its folder goes with the last file in it, perhaps in this moment
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.replace(source, target)  # noqa: PTH105 the atomic one, by its name
            break
        except (FileNotFoundError, FileExistsError):
            if not left:
                raise
    return stamp_of(target.stat())


def write(source: Path, body: bytes, target: Path, *, sync: bool) -> str:
    """Write `body` to the file `source` and move that to `target`. Gives its stamp. `sync`: wait for the platter."""
    try:
        descriptor = os.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with memoryview(body) as rest:
                written = 0
                while written < len(body):
                    written += os.write(descriptor, rest[written:])
            if sync:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return move(source, target)
    except BaseException:
        source.unlink(missing_ok=True)
        raise


def delete(targets: Iterable[Path]) -> None:
    """Delete blobs' files, or whatever has their names, and folders that are empty then."""
    for target in targets:
        with contextlib.suppress(OSError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()
        with contextlib.suppress(OSError):
            target.parent.rmdir()
