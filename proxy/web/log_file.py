"""The file that standard error may be, kept within a bound: nobody else rotates what launchd or a shell has opened.

Called by the thread that writes the log.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from proxy import operating_system

_BEFORE = ".1"  # the ending of the file before


def keep_within(descriptor: int, size: int) -> None:
    """Have `descriptor` lead to a new file once its file has half of `size` bytes; the one before stays beside it.

    Where no second file can be had beside it, it begins anew by itself. Never raises: a log fails nobody.
    """
    with suppress(OSError):
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size < size // 2 or _moved(descriptor, state):
            return
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)  # where nobody opened it to append


def _moved(descriptor: int, state: os.stat_result) -> bool:
    """Move the file away, and open another one in its place; whether that could be done."""
    path = operating_system.path_of(descriptor)
    try:
        if path is None or not os.path.samestat(path.stat(), state):  # somebody has moved or deleted it
            return False
        path.replace(Path(f"{path}{_BEFORE}"))
        new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, stat.S_IMODE(state.st_mode))
    except OSError:
        return False
    os.dup2(new, descriptor)
    os.close(new)
    return True
