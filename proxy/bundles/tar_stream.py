"""A tar from hands that are not trusted, read as it comes: sans I/O, with memory that does not grow with it.

Whoever has bytes feeds them, and gets members and their bodies back. Only what a bundle needs is taken: regular files,
and folders, which mean nothing. Links, devices, sparse files and names that point outside are refused by name. Formats:
POSIX.1-2017 pax interchange, ustar, and GNU's long names. It never touches the disk.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from proxy.bundles import layout
from proxy.bundles.manifest import BadBundle

BLOCK = 512

_LONGEST_EXTENSION = 1 << 16  # bytes of what stands before a member to describe it
_LARGEST = 1 << 62  # bytes of a member
_DIGITS = 19  # of a size
_SHOWN = 200  # characters of a name in a message
_SPARSE = "GNU.sparse."  # of all keywords by which GNU tar describes sparse files in the form of pax
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)
_MAGIC = b"ustar\00000"
_NO_PREFIX = bytes(155)
# What begins so is unpacked by these programs.
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\0": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
_LOOSE = (b"PK\x03\x04", b"!<arch>\n")  # a wheel, a package of Debian
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Began:
    """A regular file begins. `size` in bytes; so many follow, in pieces, and then `Ended`.

    `position`: of the first of them in the tar, in bytes.
    """

    path: str
    size: int
    position: int = 0


class _TarHeader(NamedTuple):
    """What counts of a header: the kind of its member as `tarfile` has it, its name, and its size in bytes."""

    type: bytes
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The file that began last is whole."""


Event: TypeAlias = Began | memoryview | Ended


class TarStream:
    """Reads one tar. Raises BadBundle, which names the member; nothing can be fed after that."""

    def __init__(self, *, loose: bool = False) -> None:
        """`loose`: it is no bundle, but what `tar -C folder .` or `git archive` makes of files.

        Then names may begin with `./`, the folder itself may be a member, and what describes all members is skipped.
        """
        self._loose = loose
        self._block = bytearray()  # of a header that is not whole yet
        self._position = 0  # in the tar, in bytes
        self._left = 0  # bytes of the present body that are still to come
        self._padding = 0  # bytes behind it that fill its last block
        self._extension: bytearray | None = None  # the present body, if it describes the next member
        self._form = b""  # of that, as `tarfile` has it: pax of the next member or of all members, a long name of GNU
        self._described: dict[str, str] = {}  # what extensions said of the next member: its `path`, its `size`
        self._sparse = False  # whether they said that it is sparse
        self._path = ""  # of the present member, or of the last one
        self._skipping = False  # the present body
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes bring. It has to be read to its end before more is fed; pieces are views of `data`."""
        rest = memoryview(data)
        while rest and not self._over:
            if self._left:
                piece, rest = rest[: self._left], rest[self._left :]
                self._left -= len(piece)
                self._position += len(piece)
                if self._extension is None:
                    yield piece
                else:
                    self._extension += piece
                if not self._left:
                    yield from self._body_ended()
            elif self._padding:
                skipped = min(self._padding, len(rest))
                self._padding -= skipped
                self._position += skipped
                rest = rest[skipped:]
            else:
                missing = BLOCK - len(self._block)
                self._position += min(missing, len(rest))
                self._block += rest[:missing]
                rest = rest[missing:]
                if len(self._block) == BLOCK:
                    block = bytes(self._block)
                    self._block.clear()
                    yield from self._header(block)
                    if self._skipping:
                        rest = rest[self._left :]
                        yield from self._skipped()

    def skip(self) -> None:
        """The body that just began is had in another way: `Ended` follows, and what is fed next begins behind it.

        What of it is in the present data is dropped.
        """
        self._skipping = self._left > 0

    def _skipped(self) -> Iterator[Event]:
        self._skipping = False
        self._position += self._left
        self._left = 0
        yield Ended()

    def finish(self) -> None:
        """There are no more bytes. Raises BadBundle if they end within a member, or before any."""
        if self._left:
            raise BadBundle(f"The bundle is cut off within {shown(self._path)}. Copy it again.")
        if self._block or self._described or self._extension is not None:
            raise BadBundle(f"The bundle is cut off {self._after()}. Copy it again.")
        if not self._path:
            raise BadBundle("The bundle is empty.")

    def _after(self) -> str:
        return f"behind {shown(self._path)}" if self._path else "within its first member"

    def _header(self, block: bytes) -> Iterator[Event]:
        header = _plain_header(block)
        if header is None:
            if not any(block):  # the end of the archive
                if self._described:
                    raise BadBundle(f"The tar ends with half a member {self._after()}.")
                self._over = True
                return
            try:
                found = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
            except (tarfile.HeaderError, ValueError):
                if self._path:
                    raise BadBundle(f"The tar is damaged {self._after()}: what follows is no member.") from None
                raise BadBundle(_no_tar(block)) from None
            header = _TarHeader(found.type, found.name, found.size)
        if header.type in _EXTENSIONS or (self._loose and header.type == tarfile.XGLTYPE):
            self._begin_extension(header)
        else:
            yield from self._begin(header)

    def _begin_extension(self, header: _TarHeader) -> None:
        if not 0 < header.size <= _LONGEST_EXTENSION:
            raise BadBundle(f"The tar describes a member {self._after()} with {header.size} bytes.")
        self._form = header.type
        self._extension = bytearray()
        self._expect(header.size)

    def _begin(self, header: _TarHeader) -> Iterator[Event]:
        described, self._described = self._described, {}
        sparse, self._sparse = self._sparse, False
        path = described.get("path", header.name)
        size = _number(described["size"]) if "size" in described else header.size
        if header.type not in _FILES and header.type != tarfile.DIRTYPE:
            kind = _KINDS.get(header.type, f"of the unknown type {header.type!a}")
            raise BadBundle(f"{shown(path)} is {kind}. A bundle holds regular files only.")
        path = path.removeprefix("./") if self._loose else path
        name = path.rstrip("/") if header.type == tarfile.DIRTYPE else path
        if self._loose and header.type == tarfile.DIRTYPE and name in {"", "."} and not size:
            return  # the folder itself
        self._path = name
        if not layout.sound(name):
            raise BadBundle(f"{shown(path)} is no path of a plain file below the bundle's folder.")
        if sparse:
            raise BadBundle(f"{shown(path)} is a sparse file. A bundle holds regular files only.")
        if not 0 <= size <= _LARGEST or (size and header.type == tarfile.DIRTYPE):
            raise BadBundle(f"{shown(path)} has an impossible size.")
        if header.type == tarfile.DIRTYPE:
            return
        self._expect(size)
        yield Began(path, size, self._position)
        if not size:
            yield Ended()

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _body_ended(self) -> Iterator[Event]:
        if self._extension is None:
            yield Ended()
            return
        body, self._extension = bytes(self._extension), None
        if self._form == tarfile.XGLTYPE:
            return
        try:
            said = pax_records(body) if self._form == tarfile.XHDTYPE else {"path": body.rstrip(b"\0").decode()}
        except ValueError:
            raise BadBundle(f"The tar is damaged {self._after()}: the next member is described wrongly.") from None
        self._described |= {key: said[key] for key in ("path", "size") if key in said}
        self._sparse |= any(key.startswith(_SPARSE) for key in said)


def _no_tar(block: bytes) -> str:
    """What is said of a file that begins so, and is no tar."""
    if program := next((name for magic, name in _COMPRESSED.items() if block.startswith(magic)), None):
        return f"This is no tar, but a compressed file. A bundle is not compressed: unpack it with {program}."
    if block.startswith(_LOOSE):
        return "This is no tar, but a wheel, a package or the like. To take such files in, name their folder."
    return "This is no tar. A bundle is one, and is not compressed."


def _plain_header(block: bytes) -> _TarHeader | None:
    """A header as almost all are (POSIX.1-2017, ustar), read in a tenth of the time; None: `tarfile` is to read it."""
    name, _, rest = block[:100].partition(b"\0")
    size, checksum, kind = block[124:135], block[148:154], block[156:157]
    if (
        kind not in {tarfile.REGTYPE, tarfile.XHDTYPE}
        or block[257:265] != _MAGIC
        or block[345:500] != _NO_PREFIX
        or block[135:136] not in b"\0 "
        or not name.isascii()
        or rest.strip(b"\0")
        or not (size.isdigit() and checksum.isdigit())
    ):
        return None
    try:
        if int(checksum, 8) != sum(block) - sum(block[148:156]) + 8 * 32:
            return None
        return _TarHeader(kind, name.decode("ascii"), int(size, 8))
    except ValueError:  # an eight or a nine
        return None


def pax_records(body: bytes) -> dict[str, str]:
    """The records of an extended header: `<length> <keyword>=<value>` and a line's end, each. Raises ValueError."""
    found: dict[str, str] = {}
    while body:
        digits, _, _ = body[:20].partition(b" ")
        if not digits.isdigit():
            raise ValueError("no length")
        length = int(digits)
        record = body[len(digits) + 1 : length]
        keyword, equals, value = record[:-1].partition(b"=")
        if length > len(body) or record[-1:] != b"\n" or not keyword or not equals:
            raise ValueError("no record")
        found[keyword.decode()] = value.decode("utf-8", "strict" if keyword == b"path" else "replace")
        body = body[length:]
    return found


def shown(path: str) -> str:
    """A name in a message: nothing in it moves a cursor."""
    text = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text) or "(no name)"


def _number(text: str) -> int:
    """The size of an extended header; -1 where that is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else -1
