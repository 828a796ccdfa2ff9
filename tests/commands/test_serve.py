"""Why the server cannot start, and what a person can do. The command as a process is held by `test_cli`."""

from __future__ import annotations

import errno
import os
import re
import socket

import pytest

from proxy.commands.serve import start_failure


@pytest.mark.parametrize(
    ("number", "port", "said"),
    [
        (errno.EADDRINUSE, 3142, r"10\.0\.0\.7, port 3142: in use by another program\. .*--port"),
        (errno.EADDRNOTAVAIL, 3142, r"10\.0\.0\.7: is not an address of this machine\. .*--host"),
        (errno.EAFNOSUPPORT, 3142, r"10\.0\.0\.7: .*no addresses of that kind.*--host"),
        (errno.EINVAL, 3142, r"10\.0\.0\.7: .*interface.*--host"),
        (errno.EACCES, 80, r"10\.0\.0\.7, port 80: ports below 1024 need special rights\. .*--port"),
        (errno.EPERM, 1023, r".*ports below 1024.*--port"),
        (errno.EACCES, 1024, r".*does not let this user listen.*--port"),
        (errno.EACCES, 0, r".*does not let this user listen.*--port"),
        (errno.EMFILE, 3142, r".*open files.*ulimit -n"),
        (errno.ENFILE, 3142, r".*open files.*ulimit -n"),
        (errno.ENOMEM, 3142, re.escape(f"cannot start: {os.strerror(errno.ENOMEM)}.")),
    ],
)
def test_start_failure__by_number(number: int, port: int, said: str) -> None:
    """Each reason has its own line, which names the flag that helps."""
    assert re.fullmatch(f"{said}.*", start_failure(OSError(number, os.strerror(number)), "10.0.0.7", port))


def test_start_failure__no_number() -> None:
    """asyncio sums up what failed in a text alone."""
    said = start_failure(OSError("could not bind on any address out of [('192.0.2.1', 80)]"), "192.0.2.1", 80)

    assert said == "192.0.2.1: is not an address of this machine. Choose one with --host, such as 127.0.0.1."


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_start_failure__name_without_an_address(number: int) -> None:
    """A number of the resolver is none of the system: EAI_AGAIN is no EADDRINUSE, whatever they are called."""
    said = start_failure(socket.gaierror(number, "no"), "cache.example", 80)

    assert said.startswith("cache.example: this name has no address.")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EADDRINUSE])
def test_start_failure__of_a_file(number: int) -> None:
    """Where a file is the matter it is the one that is named, and no port."""
    assert start_failure(OSError(number, "so it is", "/etc/file"), "10.0.0.7", 80) == "/etc/file: so it is."
