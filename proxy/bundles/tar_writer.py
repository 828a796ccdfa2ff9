"""Writes a bundle: one plain tar (POSIX.1-2001, pax) of regular files, straight from the store's own files.

Bodies go from the store's files to a socket without passing through the program, and to a file piece by piece, so
memory stays flat and the disk sets the pace. Blocks: for a thread. How long the tar will be is known before.
"""

from __future__ import annotations

import os
import select
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from proxy import operating_system
from proxy.bundles import layout, manifest
from proxy.bundles.contents import Contents
from proxy.errors import PullthroughError, StoreBroken

_BLOCK = 512
_NAME = 100  # characters of a name that a plain header has room for
_REGULAR, _PAX = b"0", b"x"  # kinds of members
_MODE = 0o644
# Behind the kind of a member: no link, the version, no owner, no device.
_REST = bytes(100) + b"ustar\00000" + bytes(32 + 32 + 8 + 8 + 155 + 12)
_LARGEST = 8**11  # bytes of a file that a plain header has room for, and one more
_PIECE = 1 << 20  # bytes that are sent at once
_COPIED = 1 << 17  # bytes that are copied at once: what is read is written while the processor's cache has it
_GATHERED = 1 << 18  # bytes that are gathered before they are written
_LOOK = 1.0  # seconds between two looks whether to stop

OpenBody = Callable[[str], AbstractContextManager[int]]  # gives a descriptor of the body with this sha256


class BrokenOff(PullthroughError):
    """Nobody takes the tar any more."""


class TarOutlet:
    """A file, a pipe or a socket that takes a tar. A full one is waited for, until `stop`, from any thread."""

    def __init__(self, descriptor: int, advanced: Callable[[int], None] = lambda _: None) -> None:
        """`advanced` is called with the bytes that were taken since the last call."""
        self._descriptor = descriptor
        self._advanced = advanced
        self._gathered = bytearray()
        self._stopped = False
        self._to_file = stat.S_ISREG(os.fstat(descriptor).st_mode)  # into which copying is faster than splicing
        self._most = _COPIED if self._to_file else _PIECE
        self._piece = memoryview(bytearray(self._most if self._to_file else 0))

    def stop(self) -> None:
        """Have the writing thread end soon with BrokenOff."""
        self._stopped = True

    def write(self, data: bytes) -> None:
        """Write bytes, soon. Raises OSError, BrokenOff."""
        self._gathered += data
        if len(self._gathered) >= _GATHERED:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered. Raises OSError, BrokenOff."""
        with memoryview(self._gathered) as view:
            written = 0
            while written < len(view):
                written += self._step(lambda: os.write(self._descriptor, view[written : written + _PIECE]))  # noqa: B023
        self._gathered.clear()

    def send(self, source: int, size: int) -> None:
        """Send a file from its beginning. Raises OSError, BrokenOff, StoreBroken for one that is shorter."""
        if size <= _GATHERED // 2:
            self.write(_whole(os.pread(source, size, 0), size))
            return
        self.flush()
        sent = 0
        while sent < size:
            count = min(size - sent, self._most)
            there = self._step(lambda: self._move(source, sent, count))  # noqa: B023
            if not there:
                _whole(b"", size)
            sent += there

    def _move(self, source: int, position: int, count: int) -> int:
        """Send a part of a file; gives how many bytes were taken."""
        if not self._to_file:
            return operating_system.send_file(self._descriptor, source, position, count)
        there = operating_system.read_at(source, self._piece[:count], position)
        return os.write(self._descriptor, self._piece[:there])

    def _step(self, work: Callable[[], int]) -> int:
        while not self._stopped:
            try:
                count = work()
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll(_LOOK * 1000)
            else:
                self._advanced(count)
                return count
        raise BrokenOff("The export was broken off.")


def _whole(body: bytes, size: int) -> bytes:
    if len(body) != size:
        raise StoreBroken("A stored file is shorter than it was. Check all of them with: pullthrough verify")
    return body


class BundleTar:
    """A bundle that can be written. `size` is that of the whole tar in bytes."""

    def __init__(self, contents: Contents, created: float) -> None:
        """`created`: seconds since the epoch; it is the time of what was made for the bundle, too."""
        self._contents = contents
        self._created = created
        # Made twice, as the members are read twice, so that memory has neither.
        self._manifest = manifest.size(created, map(len, self._lines()))
        used = _used(layout.MANIFEST, self._manifest) + 2 * _BLOCK
        for member in contents.members():
            used += 0 if member.elsewhere else _used(member.path, member.size)
        self.size = -(-used // tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    def write(self, outlet: TarOutlet, open_body: OpenBody) -> None:
        """Write all of it. Raises OSError, BrokenOff, and what `open_body` raises."""
        lines = manifest.framed(self._created, self._lines())
        written = self._put(outlet, layout.MANIFEST, self._manifest, lines, self._created)
        for member in self._contents.members():
            if member.elsewhere:
                continue
            if member.start is not None or member.stored is None:
                body = self._contents.list.made(member)
                written += self._put(outlet, member.path, member.size, body, self._created)
                continue
            head = _head(member.path, member.size, member.stored)
            outlet.write(head)
            with open_body(member.sha256) as source:
                outlet.send(source, member.size)
            outlet.write(bytes(-member.size % _BLOCK))
            written += len(head) + _padded(member.size)
        outlet.write(bytes(self.size - written))
        outlet.flush()

    def _lines(self) -> Iterator[bytes]:
        return (member.line for member in self._contents.members())

    @staticmethod
    def _put(outlet: TarOutlet, path: str, size: int, body: Iterable[bytes], time: float) -> int:
        head = _head(path, size, time)
        outlet.write(head)
        for piece in body:
            outlet.write(piece)
        outlet.write(bytes(-size % _BLOCK))
        return len(head) + _padded(size)


def _head(path: str, size: int, time: float) -> bytes:
    """What stands before a member: what `tarfile` makes of it, in a tenth of the time."""
    records = _records(path, size)
    name, plain = path.encode("ascii", "replace")[:_NAME], size if size < _LARGEST else 0
    head = _plain_head(name, plain, _REGULAR, b"%011o" % max(int(time), 0), b"%07o" % _MODE)
    if not records:
        return head
    described = _plain_head(b"././@PaxHeader", len(records), _PAX, b"0" * 11, b"0" * 7)
    return b"".join((described, records, bytes(-len(records) % _BLOCK), head))


def _plain_head(name: bytes, size: int, kind: bytes, time: bytes, mode: bytes) -> bytes:
    """A header (POSIX.1-2017, ustar): fields of fixed length, and a sum of all bytes, itself counted as blanks."""
    front = b"%b%b\0%b\0%b\0%011o\0%b\0" % (name.ljust(_NAME, b"\0"), mode, b"0" * 7, b"0" * 7, size, time)
    rest = kind + _REST
    return b"%b%06o\0 %b" % (front, sum(front) + sum(rest) + 8 * 32, rest)


def _records(path: str, size: int) -> bytes:
    """What a plain header has no room for (POSIX.1-2017, pax)."""
    records = b""
    if len(path) > _NAME or not path.isascii():
        records += _record("path", path)
    return records + _record("size", str(size)) if size >= _LARGEST else records


def _record(name: str, value: str) -> bytes:
    """`<length> <name>=<value>` and a line's end; the length counts itself."""
    rest = f" {name}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _head_size(path: str, size: int) -> int:
    """The length of `_head`."""
    records = len(_records(path, size))
    return _BLOCK + (_BLOCK + _padded(records) if records else 0)


def _used(path: str, size: int) -> int:
    """The bytes that a member takes."""
    return _head_size(path, size) + _padded(size)


def _padded(size: int) -> int:
    return size + -size % _BLOCK
