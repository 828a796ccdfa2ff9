"""What is done to files and folders, as values, and the list of them that a process makes."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from proxy.storage.verification import stamp_of

_FRAME_HEAD = 24  # bytes


class Create(msgspec.Struct, tag=True, frozen=True):
    """A new empty file has this name."""

    path: str
    file: int


class Write(msgspec.Struct, tag=True, frozen=True):
    """Bytes were written to a file, whatever its name is by now."""

    file: int
    offset: int
    data: bytes


class Truncate(msgspec.Struct, tag=True, frozen=True):
    """A file has another length."""

    file: int
    size: int


class Sync(msgspec.Struct, tag=True, frozen=True):
    """A file is on the disk as it is now."""

    file: int


class Rename(msgspec.Struct, tag=True, frozen=True):
    """A file has another name, and takes the place of the one that had it."""

    source: str
    target: str


class Unlink(msgspec.Struct, tag=True, frozen=True):
    """A file has no name any more."""

    path: str


class MakeFolder(msgspec.Struct, tag=True, frozen=True):
    """A new folder."""

    path: str


class RemoveFolder(msgspec.Struct, tag=True, frozen=True):
    """An empty folder is gone."""

    path: str


class Stamp(msgspec.Struct, tag=True, frozen=True):
    """What the store takes for a sign that a file was not touched."""

    file: int
    stamp: str


class Closed(msgspec.Struct, tag=True, frozen=True):
    """The store was closed. From here on these keys are found, whatever is lost."""

    keys: list[str]


Operation = Create | Write | Truncate | Sync | Rename | Unlink | MakeFolder | RemoveFolder | Stamp | Closed


class Recorder:
    """The operations below a folder, so far. One at a time: what a thread does is recorded before another goes on."""

    def __init__(self, folder: Path) -> None:
        self.operations: list[Operation] = []
        self.lock = threading.RLock()
        self._front = f"{folder}/"
        self._names: dict[str, int] = {}
        self._count = 0

    def inside(self, path: Any) -> str | None:
        """A path relative to the folder; None if it is not in it."""
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        # SQLite's index of its write-ahead log is shared memory: it does not outlive a power cut.
        return name.removeprefix(self._front) if name.startswith(self._front) and not name.endswith("-shm") else None

    def add(self, operation: Operation) -> None:
        """This was done."""
        last = self.operations[-1] if self.operations else None
        # SQLite writes the head of a page in its log, and then the page.
        if (
            isinstance(operation, Write)
            and isinstance(last, Write)
            and len(last.data) == _FRAME_HEAD
            and (last.file, last.offset + _FRAME_HEAD) == (operation.file, operation.offset)
        ):
            self.operations[-1] = Write(last.file, last.offset, last.data + operation.data)
        else:
            self.operations.append(operation)

    def opened(self, path: str) -> int:
        """The file of this name, which is a new one if nobody saw it before."""
        if path not in self._names:
            self._count += 1
            self._names[path] = self._count
            self.add(Create(path, self._count))
        return self._names[path]

    def written(self, path: str, file: Path) -> int:
        """One of Python's file objects wrote this file. Gives its number."""
        self.add(Write(self.opened(path), 0, file.read_bytes()))
        return self._names[path]

    def renamed(self, source: str, target: str) -> None:
        """A file has another name; its stamp is another, too."""
        if source not in self._names:
            self.written(source, Path(self._front, target))
        self._names[target] = self._names.pop(source)
        self.add(Rename(source, target))
        self.touched(target)

    def touched(self, path: str) -> None:
        """A file has another stamp."""
        self.add(Stamp(self._names[path], stamp_of(Path(self._front, path).stat())))

    def unlinked(self, path: str) -> None:
        """A file has no name any more."""
        if self._names.pop(path, None) is not None:
            self.add(Unlink(path))
