"""Takes away what Linux alone has, before anything is imported: the program goes the way that it goes on macOS.

`PYTHONPATH=tests/portable python -m pytest …` runs tests so; processes that inherit the variable do the same. The
stand-in for macOS' `sysctl` is in `bin`, beside this file.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def _take_away(module: ModuleType, *beginnings: str) -> None:
    for name in dir(module):
        if name.startswith(beginnings):
            delattr(module, name)


def _no_proc(event: str, arguments: tuple[Any, ...]) -> None:
    path = arguments[0] if event in {"open", "os.listdir", "os.scandir"} else None
    if isinstance(path, str | bytes) and os.fsdecode(path).startswith("/proc"):
        raise FileNotFoundError(2, os.strerror(2), path)


_take_away(select, "epoll", "EPOLL")  # first: what chooses between them when it is imported has no choice

import fcntl  # noqa: E402
import socket  # noqa: E402

_take_away(
    os, "eventfd", "EFD_", "memfd_", "MFD_", "splice", "SPLICE_", "fdatasync", "posix_fadvise", "posix_fallocate"
)
_take_away(os, "pwritev", "preadv", "copy_file_range", "sched_", "pipe2", "pidfd_", "O_TMPFILE", "O_PATH")
_take_away(fcntl, "F_GETPIPE_SZ")
_take_away(socket, "MSG_MORE", "TCP_CORK", "SOCK_NONBLOCK", "SOCK_CLOEXEC")
sys.addaudithook(_no_proc)
os.environ["PATH"] = f"{Path(__file__).parent / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
