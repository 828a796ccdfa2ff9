"""The METADATA of a wheel, read from its zip: from a whole file, or from the few ranges of one that are known.

Sans I/O: `Window` is a file with gaps, and reading in a gap raises `NeedBytes` with the range that is missing; the
caller fetches it and tries again. Never reads more of the wheel than its directory and the one member, and trusts
neither: sizes are bounded before anything is unpacked.
"""

from __future__ import annotations

import bisect
import io
import os
import struct
import sys
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from packaging.utils import canonicalize_name, canonicalize_version

from proxy.errors import NotFound, StoreBroken, WrongBytes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FIRST = 32 << 10  # bytes: most wheels have their directory in it, and METADATA, which tools put before the directory
_AHEAD = 4 << 10  # bytes after a range that come with it, since buffered readers round up
_METADATA_LIMIT = 16 << 20  # bytes, unpacked
_DIRECTORY_LIMIT = 16 << 20  # bytes: more than a hundred thousand files
_HEADER = 30  # bytes of a member's header before its name
_SLACK = 512  # bytes for the name and extra fields of the header, whose length the directory does not have
_ENCRYPTED = 1
_FRAMES = 64  # of zstd in one member
_ZSTANDARD = 93  # zipfile has a name for it from Python 3.14 on
# Not lzma: its header decides how much memory the decoder takes. Indexes refuse such wheels.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, _ZSTANDARD)
_UNKNOWN = "The wheel cannot be read: its METADATA is encrypted or packed in a way that is not known."
_BROKEN = (
    zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error,
)  # fmt: skip


class Unreadable(WrongBytes):
    """A sound wheel from which no METADATA can be read, however often it is tried."""


class WithoutMetadata(NotFound):
    """A sound wheel that has no METADATA."""


class NeedRoom(Exception):
    """METADATA needs `size` bytes of memory, to be reserved before it is unpacked. A request, as `NeedBytes`."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class NeedBytes(Exception):
    """The half-open byte range `start` to `end` of the file must be known before reading can go on.

    A request more than an error; and no OSError, which zipfile would take for a broken file.
    """

    def __init__(self, start: int, end: int) -> None:
        super().__init__(start, end)
        self.start = start
        self.end = end


def first_range(size: int) -> tuple[int, int]:
    """The half-open range to fetch first of a wheel of `size` bytes: its end."""
    return max(size - FIRST, 0), size


class Window(io.RawIOBase):
    """A file of `size` bytes of which some ranges are known. Mutable state: the ranges, sorted, and the position."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._position = 0
        self._starts: list[int] = []
        self._parts: list[bytes] = []

    def add(self, start: int, data: bytes) -> None:
        """Add the bytes from `start` on. They may overlap with known ranges."""
        if not data:
            return
        end = start + len(data)
        first = bisect.bisect_left(self._starts, start)
        if first and self._end(first - 1) >= start:
            first -= 1
        last = bisect.bisect_right(self._starts, end)
        if first < last:
            front = self._parts[first][: max(start - self._starts[first], 0)]
            tail = self._parts[last - 1][max(end - self._starts[last - 1], 0) :]
            start, data = min(start, self._starts[first]), front + data + tail
        self._starts[first:last] = [start]
        self._parts[first:last] = [data]

    def _end(self, index: int) -> int:
        return self._starts[index] + len(self._parts[index])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise OSError("The position would be before the start of the file.")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` from the position on. Raises NeedBytes in a gap, and reads nothing then."""
        view = memoryview(buffer).cast("B")
        start = self._position
        end = min(start + len(view), self._size)
        if end <= start:
            return 0
        index = bisect.bisect_right(self._starts, start) - 1
        known = max(self._end(index), start) if index >= 0 else start
        if known < end:
            following = self._starts[index + 1] if index + 1 < len(self._starts) else self._size
            # Up to the next known range: nothing is fetched twice.
            raise NeedBytes(known, min(end + _AHEAD, following))
        offset = start - self._starts[index]
        view[: end - start] = self._parts[index][offset : offset + end - start]
        self._position = end
        return end - start

    def close(self) -> None:
        """Do nothing: the reader around this file closes it at its end, and the next attempt reads it again."""


class _LimitedReads:
    """What zipfile needs of a file, with a bound for each read: a zip may lie about the size of its directory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:  # the rest, in one piece: zipfile would read a raw file in small steps
            position = self.tell()
            size = self.seek(0, os.SEEK_END) - position
            self.seek(position)
        if size > _DIRECTORY_LIMIT:
            raise WrongBytes("The wheel cannot be read: its directory is larger than that of any wheel.")
        try:
            return self._file.read(size)
        except OSError as error:  # for zipfile, a failing disk would be a broken file
            raise StoreBroken("Reading the stored wheel failed. Look at the disk.") from error


def read_metadata(file: IO[bytes], filename: str, room: int = _METADATA_LIMIT) -> bytes:
    """The METADATA of the wheel `filename`, whose bytes `file` gives; unpacked, if it has at most `room` bytes.

    Raises NeedRoom if it has more, NeedBytes from a `Window`, WrongBytes for what is no sound wheel, Unreadable or
    WithoutMetadata for one that gives no METADATA, and StoreBroken when the disk fails.
    """
    bounded = _LimitedReads(file)
    try:
        with zipfile.ZipFile(bounded) as archive:
            member = _member(archive.namelist(), filename)
            return _read(archive, archive.getinfo(member), bounded, room)
    except NotImplementedError:
        raise Unreadable(_UNKNOWN) from None
    except _BROKEN as error:
        raise WrongBytes("The wheel cannot be read: it is no valid zip file.") from error


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: _LimitedReads, room: int) -> bytes:
    too_large = Unreadable("The wheel cannot be read: its METADATA is larger than 16 MiB.")
    if info.file_size > _METADATA_LIMIT or info.compress_size > _METADATA_LIMIT:
        raise too_large
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise Unreadable(_UNKNOWN)
    if info.file_size > room:
        raise NeedRoom(info.file_size)
    # Read the member in one piece. Else a window would be read in small steps, each with a request.
    file.seek(info.header_offset)
    header = file.read(_HEADER + len(info.filename.encode()) + _SLACK + info.compress_size)[:_HEADER]
    if info.compress_type == _ZSTANDARD:
        return _read_zstandard(info, header, file)
    with archive.open(info) as member:
        body = member.read(_METADATA_LIMIT + 1)
    if len(body) > _METADATA_LIMIT:
        raise too_large
    return body


def _read_zstandard(info: zipfile.ZipInfo, header: bytes, file: _LimitedReads) -> bytes:
    """A member that zipfile cannot unpack before Python 3.14 (APPNOTE 4.3.7: its header; 4.4.5: the method)."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 late: few wheels need it, and some Pythons lack it
        else:
            from backports import zstd  # noqa: PLC0415 the same
    except ImportError:
        raise Unreadable(_UNKNOWN) from None
    signature, name, extra = struct.unpack("<4s22xHH", header)
    if signature != b"PK\3\4":
        raise zipfile.BadZipFile("no header where the directory says that one is")
    file.seek(info.header_offset + _HEADER + name + extra)
    packed, body = file.read(info.compress_size), b""
    try:
        for _ in range(_FRAMES):  # RFC 8878 §3: frames may follow one another, and be empty
            unpacker = zstd.ZstdDecompressor()
            body += unpacker.decompress(packed, info.file_size + 1 - len(body))
            packed = unpacker.unused_data if unpacker.eof else b""
            if not packed or len(body) > info.file_size:
                break
    except zstd.ZstdError as error:
        raise zipfile.BadZipFile("damaged") from error
    if len(body) != info.file_size or zlib.crc32(body) != info.CRC:
        raise zipfile.BadZipFile("not what the directory says")
    return body


def _member(names: list[str], filename: str) -> str:
    """The METADATA among the members of a wheel (binary distribution format: one `.dist-info` folder at the top)."""
    tops = {name.partition("/")[0] for name in names if "/" in name}
    folders = [folder for folder in tops if folder.endswith(".dist-info")]
    if len(folders) > 1:
        folders = [folder for folder in folders if _identity(folder) == _identity(filename)]
    if len(folders) != 1:
        raise Unreadable("The wheel cannot be read: it does not have one .dist-info folder of its own name.")
    member = f"{folders[0]}/METADATA"
    if member not in names:
        raise WithoutMetadata("The wheel has no METADATA.")
    return member


def _identity(name: str) -> tuple[str, str]:
    """Project and version, normalised, of a wheel's file name or of its `.dist-info` folder."""
    project, version = (*name.removesuffix(".dist-info").removesuffix(".whl").split("-"), "")[:2]
    return canonicalize_name(project), canonicalize_version(version.replace("_", "-"))
