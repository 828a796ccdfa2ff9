"""Tables of packages and sources: what an index says of files, in 48 bytes for the size and digest of each name.

A suite of Debian has 63,000 packages. `catalog` makes tables and looks files up in them. Pure, and slow for long
indexes: call it in a thread. A packed index is unpacked piece by piece, so neither it nor its text is ever in memory
as a whole.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import re
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol

from proxy.apt.release import Listed
from proxy.errors import UpstreamBroken
from proxy.gzip_format import DamagedGzip, GzipMember
from proxy.model import ALGORITHMS, Digest

try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:  # some Pythons are built without it
    _ZSTD = False
else:
    _ZSTD = True

_NAME = 8  # bytes of a name's hash
_SIZE = 8  # bytes of a file's size
_PIECE = 1 << 20  # bytes unpacked at once
_MOST = 1 << 30  # bytes of an unpacked index; more is an attack
_PARAGRAPH = 4 << 20  # bytes of one package's paragraph
_RECORDS = 400_000  # entries of an index
_VERSIONS = 8  # of one file, that an index may list; each is a request upstream until one of them is right
_LENGTHS = {name: hashlib.new(name, usedforsecurity=False).digest_size for name in ALGORITHMS}
# Fields that hold digests, in order of trust: of a package, of a source, of the patches of an index.
_OF_PACKAGE = (("sha256", b"\nSHA256:"), ("sha512", b"\nSHA512:"), ("sha1", b"\nSHA1:"), ("md5", b"\nMD5sum:"))
_OF_SOURCE = (
    ("sha256", b"\nChecksums-Sha256:"),
    ("sha512", b"\nChecksums-Sha512:"),
    ("sha1", b"\nChecksums-Sha1:"),
    ("md5", b"\nFiles:"),
)
_OF_PATCHES = (("sha256", b"\nSHA256-Download:"), ("sha512", b"\nSHA512-Download:"), ("sha1", b"\nSHA1-Download:"))
_ENDINGS = {"", "gz", "bz2", "xz", "lzma", *(["zst"] if _ZSTD else [])}

_Record = tuple[bytes, int, str, bytes]  # name, size, algorithm, digest


@dataclass(frozen=True, slots=True)
class Table:
    """What one index says of files. `groups`: for each algorithm, records of name, digest and size, sorted by name.

    Of one name, the last that the index lists comes first.
    """

    groups: tuple[tuple[str, bytes], ...]

    @property
    def weight(self) -> int:
        """Bytes of memory."""
        return sum(len(records) for _, records in self.groups)

    def find(self, name: bytes) -> tuple[Listed, ...]:
        """What it says of the file of this `hashed` name, which is relative to the archive's root.

        An index that is appended to at each release may list one name with several digests. Which of them the file has
        now, only upstream knows; the last one is the likeliest, so few are enough.
        """
        return tuple(islice(self._found(name), _VERSIONS))

    def _found(self, name: bytes) -> Iterator[Listed]:
        for algorithm, records in self.groups:
            width = _NAME + _LENGTHS[algorithm] + _SIZE
            starts = range(0, len(records), width)
            place = bisect_left(starts, name, key=partial(_named, records)) * width
            while (record := records[place : place + width])[:_NAME] == name:
                yield Listed(int.from_bytes(record[-_SIZE:], "big"), Digest(algorithm, record[_NAME:-_SIZE].hex()))
                place += width


def hashed(name: str) -> bytes:
    """The hash that stands for a name in tables."""
    return _hash(name.encode())


def _in_order(records: Iterable[bytes]) -> bytes:
    """Records by name; of one name the last comes first."""
    ordered = list(records)[::-1]
    ordered.sort(key=_name)
    return b"".join(ordered)


def _name(record: bytes) -> bytes:
    return record[:_NAME]


def _named(records: bytes, start: int) -> bytes:
    return records[start : start + _NAME]


def readable(path: str) -> bool:
    """Whether the index at `path` has digests of files, in a form that can be read here."""
    name = path.rpartition("/")[2]
    if of_patches(path):
        return name == "Index"
    kind, _, ending = name.partition(".")
    return kind in {"Packages", "Sources"} and ending in _ENDINGS


def of_patches(path: str) -> bool:
    """Whether `path` is among the patches of an index, whose names are relative to their own folder."""
    return f"/{path.rpartition('/')[0]}".endswith(".diff")


def table(path: str, pieces: Iterable[bytes]) -> Table:
    """Read an index; its name says what it lists, and how it is packed.

    Raises UpstreamBroken for what is not an index, or is larger than any.
    """
    read = _reader(path)
    groups: dict[str, dict[bytes, None]] = {}
    number = 0
    for paragraph in _paragraphs(_unpacked(path, pieces)):
        for name, size, algorithm, digest in read(paragraph):
            if name and len(digest) == _LENGTHS[algorithm] and 0 <= size < 1 << 63:
                record = _hash(_plain(name)) + digest + size.to_bytes(_SIZE, "big")
                groups.setdefault(algorithm, {})[record] = None
                number += 1
        if number > _RECORDS:
            raise UpstreamBroken(
                "An index of packages has more entries than this cache looks up; its packages are not checked."
            )
    return Table(tuple((name, _in_order(groups[name])) for name in ALGORITHMS if name in groups))


def _reader(path: str) -> Callable[[bytes], Iterable[_Record]]:
    if of_patches(path):
        return _patches
    return _source if path.rpartition("/")[2].startswith("Sources") else _package


def _package(paragraph: bytes) -> Iterable[_Record]:
    name = _value(paragraph, b"\nFilename:")
    try:
        for algorithm, field in _OF_PACKAGE if name else ():
            value = _value(paragraph, field)
            if value:
                return ((name, int(_value(paragraph, b"\nSize:")), algorithm, bytes.fromhex(value.decode())),)
    except ValueError:
        pass
    return ()


def _source(paragraph: bytes) -> Iterable[_Record]:
    folder = _value(paragraph, b"\nDirectory:")
    for name, size, algorithm, digest in _sums(paragraph, _OF_SOURCE):
        yield folder + b"/" + name, size, algorithm, digest


def _patches(paragraph: bytes) -> Iterable[_Record]:
    return _sums(paragraph, _OF_PATCHES)


def _sums(paragraph: bytes, fields: Iterable[tuple[str, bytes]]) -> Iterator[_Record]:
    """What the first of `fields` that is present lists, one file a line: digest, size, name."""
    for algorithm, field in fields:
        start = _start(paragraph, field)
        if start < 0:
            continue
        for line in paragraph[start:].split(b"\n")[1:]:
            if line[:1] not in {b" ", b"\t"}:
                break
            try:
                digest, size, name = line.split()
                yield name, int(size), algorithm, bytes.fromhex(digest.decode())
            except ValueError:
                continue
        return


def _value(paragraph: bytes, field: bytes) -> bytes:
    """The value of a field of one line, or nothing. Takes half as long as a regular expression, and there are many."""
    start = _start(paragraph, field)
    if start < 0:
        return b""
    end = paragraph.find(b"\n", start)
    return paragraph[start : len(paragraph) if end < 0 else end].strip()


def _start(paragraph: bytes, field: bytes) -> int:
    """Where the value of a field begins; below 0 if it is missing. Its name may be in any case."""
    start = paragraph.find(field)
    if start >= 0:
        return start + len(field)
    match = re.search(field, paragraph, re.IGNORECASE)
    return match.end() if match is not None else -1


def _plain(name: bytes) -> bytes:
    """A file name as addresses have it: flat repositories write `./x.deb`."""
    if b"//" not in name and b"./" not in name and not name.startswith(b"/"):
        return name
    return b"/".join(segment for segment in name.split(b"/") if segment not in {b"", b"."})


def _hash(name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=_NAME).digest()


def _paragraphs(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest, total = b"", 0
    for piece in pieces:
        total += len(piece)
        *whole, rest = (rest + (piece.replace(b"\r", b"") if b"\r" in piece else piece)).split(b"\n\n")
        if total > _MOST or len(rest) > _PARAGRAPH:
            raise UpstreamBroken("An index of packages is larger than any known one; its packages are not checked.")
        yield from (b"\n" + paragraph for paragraph in whole)
    yield b"\n" + rest


def _unpacked(path: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    ending = path.rpartition("/")[2].partition(".")[2]
    broken = (OSError, EOFError, lzma.LZMAError, DamagedGzip) + ((zstd.ZstdError,) if _ZSTD else ())
    try:
        match ending:
            case "":
                yield from pieces
            case "gz":
                yield from _gunzipped(pieces)
            case "bz2":
                yield from _streamed(bz2.BZ2Decompressor, pieces)
            case "xz" | "lzma":
                yield from _streamed(lzma.LZMADecompressor, pieces)
            case "zst":
                yield from _streamed(zstd.ZstdDecompressor, pieces)
    except broken as error:
        raise UpstreamBroken("An index of packages cannot be unpacked; its packages are not checked.") from error


class _Unpacker(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _streamed(make: Callable[[], _Unpacker], pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack one stream after another, a bounded piece at a time."""
    unpacker = make()
    for received in pieces:
        piece = received
        while True:
            if unpacker.eof:
                if not piece:
                    break
                unpacker = make()
            yield unpacker.decompress(piece, _PIECE)
            piece = unpacker.unused_data if unpacker.eof else b""
            if not unpacker.eof and unpacker.needs_input:
                break


def _gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    member = GzipMember()
    for received in pieces:
        piece = received
        while piece:
            if member.over:
                member = GzipMember()
            yield from member.feed(piece, _PIECE)
            piece = member.behind
