"""What no test may do: dial the internet, or leave something behind. `tests.conftest` puts it round every test.

Threads, descriptors and logged tracebacks are looked at after all fixtures of the test are gone, event loop included.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

_DESCRIPTORS = Path("/dev/fd")
_NOBODY = "192.0.2.1"  # RFC 5737
_GRACE = 5.0  # seconds that something that is just ending may take


class DialRefused(AssertionError):
    """A test tried to leave the machine. No OSError: what handles those must not hide it."""


@contextlib.contextmanager
def only_loopback() -> Iterator[list[str]]:
    """Refuse other addresses and names at the socket layer; gives the list of what was refused.

    Names below `.invalid` (RFC 6761 §6.4) fail as they do everywhere, so that a test may use an unknown host.
    """
    refused: list[str] = []
    resolve, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

    def refuse(what: str) -> NoReturn:
        refused.append(what)
        raise DialRefused(f"tests may dial loopback addresses only, not {what}; use an Origin")

    def checked(own: socket.socket, address: Any) -> None:
        if own.type == socket.SOCK_DGRAM and address[0] == _NOBODY:
            return  # nothing is sent: the system only chooses the address to send from
        if own.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            refuse(f"{address[0]} port {address[1]}")

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if name not in {None, "", "localhost"} and not _is_literal(name):
            refuse(f"the name {name}")
        return resolve(host, *args, **kwargs)

    def guarded_connect(own: socket.socket, address: Any) -> None:
        checked(own, address)
        connect(own, address)

    def guarded_connect_ex(own: socket.socket, address: Any) -> int:
        checked(own, address)
        return connect_ex(own, address)

    with (
        mock.patch.object(socket, "getaddrinfo", getaddrinfo),
        mock.patch.object(socket.socket, "connect", guarded_connect),
        mock.patch.object(socket.socket, "connect_ex", guarded_connect_ex),
    ):
        yield refused


class _Tracebacks(logging.Handler):
    """Collects errors that were logged with a traceback, such as those of tasks whose exception nobody took."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            self.found.append(f"{record.name}: {record.getMessage()} ({record.exc_info[0].__name__})")


@dataclass(frozen=True, slots=True)
class Before:
    """How things were before a test; `complaints()` says what is left of it afterwards."""

    threads: frozenset[threading.Thread]
    descriptors: Counter[str]
    tracebacks: _Tracebacks

    @classmethod
    def look(cls) -> Before:
        tracebacks = _Tracebacks()
        logging.getLogger().addHandler(tracebacks)
        return cls(frozenset(threading.enumerate()), open_descriptors(), tracebacks)

    def complaints(self, allowed: Counter[str]) -> list[str]:
        """One sentence for each kind of thing that was left, but for `allowed` descriptors; ends the log watch."""
        logging.getLogger().removeHandler(self.tracebacks)
        found = []
        threads = set(threading.enumerate()) - self.threads
        for thread in threads:
            thread.join(_GRACE)
        if alive := sorted(thread.name for thread in threads if thread.is_alive()):
            found.append(f"threads still run: {', '.join(alive)}")
        if left := sorted((open_descriptors() - self.descriptors - allowed).elements()):
            found.append(f"descriptors are still open: {', '.join(left)}")
        if self.tracebacks.found:
            found.append(f"the log has tracebacks: {'; '.join(self.tracebacks.found)}")
        return found


def open_descriptors() -> Counter[str]:
    """What the open descriptors of this process refer to; numbers of sockets and pipes tell them apart."""
    found: Counter[str] = Counter()
    for number in _DESCRIPTORS.iterdir():
        with contextlib.suppress(OSError):  # the one that listed the folder
            found[_what(number)] += 1
    return found


def _what(descriptor: Path) -> str:
    if descriptor.is_symlink():
        return str(descriptor.readlink())
    status = os.fstat(int(descriptor.name))  # on macOS they are no links
    return f"{stat.filemode(status.st_mode)[0]} {status.st_dev}:{status.st_ino}"


async def tasks_left() -> list[str]:
    """Names of tasks of the running loop that do not end by themselves, but for the caller's."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return []
    _, pending = await asyncio.wait(others, timeout=_GRACE)
    return sorted(f"{task.get_name()} {task.get_coro()}" for task in pending)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host in {"", "localhost"} or (_is_literal(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback)
