"""A machine without any network: a namespace of Linux that has nothing but its own loopback.

Used by the end-to-end tests. What runs in it shares the file system with the tests, and no connection leads out of it.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from tests.e2e.clients import run

_numbers = itertools.count()
_REACHES = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
except OSError:
    sys.exit("no way")
"""


@dataclass(frozen=True, slots=True)
class Room:
    """`with Room.make() as room:`; `before` stands before each command that is to run in it. Needs root."""

    name: str

    @classmethod
    def make(cls) -> Self:
        """A room of its own."""
        return cls(f"room-{os.getpid()}-{next(_numbers)}")

    @property
    def before(self) -> tuple[str, ...]:
        """What leads a command into the room."""
        return ("ip", "netns", "exec", self.name)

    def __enter__(self) -> Self:
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ip("netns", "delete", self.name)

    def run(
        self,
        *command: str,
        home: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
        folder: Path | None = None,
    ) -> str:
        """Run a client in it, as `clients.run` does."""
        return run([*self.before, *command], home, environment, folder)

    def reaches(self, host: str, port: int, home: Path) -> bool:
        """Whether something in it can connect there."""
        command = [*self.before, sys.executable, "-c", _REACHES, host, str(port)]
        return subprocess.run(command, cwd=home, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode == 0


def obstacle() -> str | None:
    """Why no room can be made here; None: one can."""
    return None if os.geteuid() == 0 else "a network namespace needs root"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=60)
