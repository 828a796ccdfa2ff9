"""The distributions and packages in a folder that another program made, as a tar that `loose_files` takes in.

Known by their first bytes, not by their names: so a folder of wheels or debs will do, pip's HTTP cache (of pip 23.3 and
later, and the older form), apt-cacher-ng's, devpi's and proxpi's folders. Links are not followed. All of it blocks.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.bundles import layout

# zip (wheels), gzip, bzip2, xz and zstd (sources, indexes), ar (Debian packages)
_MAGIC = (b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"!<arch>\n")
# pip before 23.3 has the head and the body of an answer in one file (CacheControl's form 4): MessagePack, body first.
_OLD_PIP = re.compile(rb"cc=4,[\x80-\x8f]\xa8response[\x80-\x8f]\xa4body(?:\xc4(.)|\xc5(..)|\xc6(....))", re.DOTALL)
_BEGINNING = 64  # bytes that are looked at
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """What is in a folder and below, by path. `unread`: errors of folders and files that could not be looked at."""

    files: list[ForeignFile]
    unread: list[OSError]


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file that may be a distribution or a package: `size` bytes from `offset` on in the file at `path`."""

    path: Path
    offset: int
    size: int


def foreign_files(folder: Path) -> FolderFiles:
    """The archives in a folder. Raises OSError where the folder itself cannot be read."""
    os.scandir(folder).close()
    found = FolderFiles([], [])
    for place, folders, names in os.walk(folder, onerror=found.unread.append):
        folders.sort()
        for name in sorted(names):
            try:
                file = _looked_at(Path(place, name))
            except OSError as error:
                error.filename = str(Path(place, name))  # which those of a descriptor have not
                found.unread.append(error)
            else:
                found.files.extend([file] if file is not None else [])
    return found


def tar_of(files: Sequence[ForeignFile]) -> Iterator[bytes]:
    """The files as a tar, in pieces. Raises OSError for one that cannot be read any more."""
    for number, file in enumerate(files):
        name = f"{number}/{file.path.name}"
        info = tarfile.TarInfo(name if name.isprintable() and layout.sound(name) else str(number))
        info.size = file.size
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield from _body(file)
        yield bytes(-file.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _body(file: ForeignFile) -> Iterator[bytes]:
    """Just as many bytes as the header says: of a file that got shorter, zeros, which make it another file."""
    left = file.size
    with file.path.open("rb") as opened:
        opened.seek(file.offset)
        while left and (piece := opened.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece
    while left:
        yield bytes(min(_PIECE, left))
        left -= min(_PIECE, left)


def _looked_at(path: Path) -> ForeignFile | None:
    """What a file is, by its beginning; None if nothing of interest. Raises OSError for a file that cannot be read."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:  # it has gone meanwhile
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        beginning = os.pread(descriptor, _BEGINNING, 0)
    finally:
        os.close(descriptor)
    offset, size = 0, status.st_size
    if (old := _OLD_PIP.match(beginning)) is not None:
        offset, size = old.end(), int.from_bytes(next(filter(None, old.groups())), "big")
    if offset + size > status.st_size or not beginning[offset:].startswith(_MAGIC):
        return None
    return ForeignFile(path, offset, size)
