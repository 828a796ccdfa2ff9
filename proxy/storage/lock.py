"""The lock that keeps a data folder to one process. Taken by `folder`; it never waits."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Self

from proxy.errors import StoreRefused
from proxy.storage.refusals import refusal


class FolderLock:
    """An exclusive flock(2) on a file that says which process has it. The kernel frees it when that process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock, now or not at all. Raises StoreRefused when another process has it; StoreError."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise refusal(path.parent, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                who = f"process {holder}" if holder.isdigit() else "another process"
                raise StoreRefused(
                    f"The data folder {path.parent} is in use by {who}. Stop that one, or choose another folder."
                ) from error
            raise refusal(path.parent, error) from error
        with contextlib.suppress(OSError):  # who has it is only for people to read, and the disk may be full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let others have it. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
