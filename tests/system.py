"""What tests use of the operating system, on Linux and elsewhere."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import sys
import tempfile
from pathlib import Path

import pytest

SYNC = "fdatasync" if hasattr(os, "fdatasync") else "fsync"  # the call by which the program syncs a file
WRITE_AT = "pwritev" if hasattr(os, "pwritev") else "pwrite"  # the call by which it writes at a place

_FEW_ADDRESSES = """the loopback interface has one address here; on macOS this adds the others:
for n in 2 3 4 5; do sudo ifconfig lo0 alias 127.0.0.$n; done"""


def _has_address(host: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


several_addresses = pytest.mark.skipif(not _has_address("127.0.0.2"), reason=_FEW_ADDRESSES)


def require_address(host: str) -> None:
    """Skip the test where the machine lacks this loopback address: Linux has 127.0.0.0/8, macOS only 127.0.0.1."""
    if host.startswith("127.") and not _has_address(host):
        pytest.skip(_FEW_ADDRESSES)


def anonymous_file(body: bytes = b"") -> int:
    """The descriptor of a file that has no name and holds `body`. The caller closes it."""
    with tempfile.TemporaryFile() as file:
        number = os.dup(file.fileno())
    os.pwrite(number, body, 0)
    return number


def path_of(descriptor: int) -> Path:
    """The path by which a file was opened."""
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    else:  # noqa: RET505 - so that mypy sees one system at a time
        return Path(f"/proc/self/fd/{descriptor}").readlink()


def peak_memory(*, reset: bool = False) -> int:
    """The most memory that this process had, in bytes: since the last reset, or since its start."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
