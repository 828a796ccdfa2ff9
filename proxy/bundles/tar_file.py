"""A tar that is a regular file: its bytes in pieces, as from anywhere, or a long body of it as a part of the file.

Such a part is read where it is written, by several threads at once. Given to whoever takes a tar in; who sends it on
reads it as any bytes. Blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from proxy import operating_system
from proxy.bundles.manifest import BadBundle
from proxy.errors import WrongUsage

_PIECE = 1 << 18  # bytes that are read at once


@dataclass(frozen=True, slots=True)
class FileRange:
    """A body in the file of a tar: `size` bytes from `position` on, of the file with this descriptor.

    `taken` is to be called with the bytes that were dealt with since the last call.
    """

    name: str
    descriptor: int
    position: int
    size: int
    taken: Callable[[int], None]

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill a buffer from `offset` of the body on; gives how many bytes are there, one at least.

        Raises WrongUsage where the file cannot be read, BadBundle where it ends.
        """
        try:
            count = operating_system.read_at(self.descriptor, buffer, self.position + offset)
        except OSError as error:
            raise _unreadable(self.name, error) from error
        if not count:
            raise BadBundle(f"{self.name} became shorter while it was read. Copy it again.")
        return count


# The body of so many bytes at a position of the tar, where it lies in a file; None: it comes in pieces.
RangeOf: TypeAlias = Callable[[int, int], FileRange | None]


def nowhere(position: int, size: int) -> None:
    """`RangeOf` of a tar that is no file."""


class TarFile:
    """One reading of the file with this descriptor, which is open as long."""

    def __init__(
        self, name: str, descriptor: int, advanced: Callable[[int, int], None] = lambda _done, _of: None
    ) -> None:
        """`name`: for messages. `advanced` is called with bytes done, and of how many."""
        self._name = name
        self._descriptor = descriptor
        self._advanced = advanced
        self._size = os.fstat(descriptor).st_size
        self._next = 0  # byte that is read
        self._done = 0

    def __iter__(self) -> Iterator[bytes]:
        """The bytes that are in no range which was asked for before. Raises WrongUsage where they cannot be read."""
        while piece := self._read():
            self._next += len(piece)
            yield piece
            self._taken(len(piece))

    def range(self, position: int, size: int) -> FileRange | None:
        """The body that begins at `position`, of which the next piece gives nothing.

        None if the file ends before: pieces then show where.
        """
        if position + size > self._size:
            return None
        self._done -= max(min(self._next - position, size), 0)  # were read, and count when they are taken
        self._next = max(self._next, position + size)
        return FileRange(self._name, self._descriptor, position, size, self._taken)

    def _read(self) -> bytes:
        try:
            return os.pread(self._descriptor, _PIECE, self._next)
        except OSError as error:
            raise _unreadable(self._name, error) from error

    def _taken(self, count: int) -> None:
        self._done += count
        self._advanced(self._done, max(self._size, self._done))


def _unreadable(name: str, error: OSError) -> WrongUsage:
    return WrongUsage(f"{name}: {error.strerror or type(error).__name__}.")
