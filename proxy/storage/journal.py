"""The journal of a spool file: lines beside it, so that a kill at any instruction loses nothing of a download.

The first line gives the name of the download and the run of the machine. A later line is a `SpoolState`, which replaces
the lines before it, or a pair `[start,end]`: these bytes of the file were written since. A line is one append.

The writes of a process that is killed stay in the system's cache; a machine that stops may lose them in any order. So a
journal of another run of the machine is not believed.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from proxy.cache.extents import Extents
from proxy.ports import SpoolState


class _Head(msgspec.Struct, frozen=True):
    format: int
    name: str
    boot: str


_head = msgspec.json.Decoder(_Head)
_line = msgspec.json.Decoder(tuple[int, int] | SpoolState)


def replay(text: bytes, name: str, boot: str, size: int) -> SpoolState | None:
    """What a journal says of the download `name`, whose file has `size` bytes. None if it cannot be resumed."""
    lines = text.split(b"\n")
    try:
        head = _head.decode(lines[0])
    except msgspec.DecodeError:
        return None
    if head.format != 1 or head.name != name or not boot or head.boot != boot:
        return None
    state: SpoolState | None = None
    extents = Extents()
    for text_line in lines[1:-1]:  # what follows the last line end was not written out
        try:
            line = _line.decode(text_line)
        except msgspec.DecodeError:
            break
        if isinstance(line, SpoolState):
            state, extents = line, Extents()
            for start, end in line.extents:
                extents = extents.add(start, end)
        else:
            extents = extents.add(*line)
    if state is None or (extents.ranges and (extents.ranges[0][0] < 0 or extents.ranges[-1][1] > size)):
        return None
    return SpoolState(state.size, state.validator, extents.ranges)


def begun_in(path: Path, boot: str) -> bool:
    """Whether a journal was begun in this run of the machine, so that its download can be resumed."""
    try:
        with path.open("rb") as file:
            head = _head.decode(file.readline())
    except (OSError, msgspec.DecodeError):
        return False
    return bool(boot) and head.boot == boot


class Journal:
    """The journal at `path`. Each method is one short write, made in a worker thread; all raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def open(self) -> None:
        """Open or create it; before anything else."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)

    def read(self) -> bytes:
        """All of it."""
        parts: list[bytes] = []
        position = 0
        while piece := os.pread(self._descriptor, 1 << 20, position):
            parts.append(piece)
            position += len(piece)
        return b"".join(parts)

    def begin(self, name: str, boot: str) -> None:
        """Forget everything but the name of the download."""
        os.ftruncate(self._descriptor, 0)
        self._append(msgspec.json.encode(_Head(1, name, boot)))

    def state(self, state: SpoolState) -> None:
        """Replace what the lines before say."""
        self._append(msgspec.json.encode(state))

    def wrote(self, start: int, end: int) -> None:
        """The bytes `[start, end)` are in the file."""
        self._append(b"[%d,%d]" % (start, end))

    def _append(self, line: bytes) -> None:
        line += b"\n"
        written = os.write(self._descriptor, line)
        if written < len(line):  # the disk is full: half a line would spoil the next one
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            os.write(self._descriptor, line)

    def close(self) -> None:
        """Close the file. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
