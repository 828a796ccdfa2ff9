"""Indexes of packages, made small: for each file name its size and sha256, in 48 bytes (Debian has 63,000 a suite).

`catalog` makes tables and asks them. Pure, and slow for long indexes: to be called in a thread. A packed index is
unpacked piece by piece; neither it nor what is read from it is ever in memory as a whole.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy.apt.release import Listed
from proxy.errors import UpstreamBroken
from proxy.model import Digest

_NAME = 8  # bytes of a name's hash
_RECORD = _NAME + 32 + 8  # with the digest and the size
_PIECE = 1 << 20  # bytes unpacked at once
_MOST = 1 << 30  # bytes of an unpacked index; more is a trap
_PARAGRAPH = 4 << 20  # bytes of one package's paragraph
_RECORDS = 400_000


@dataclass(frozen=True, slots=True)
class Table:
    """What one index says of files: records of name, digest and size, sorted."""

    records: bytes

    def find(self, name: str) -> Listed | None:
        """What it says of the file of this name, relative to the archive's root."""
        wanted = _hash(name.encode())
        place = bisect_left(range(len(self.records) // _RECORD), wanted, key=self._name) * _RECORD
        record = self.records[place : place + _RECORD]
        if record[:_NAME] != wanted:
            return None
        return Listed(int.from_bytes(record[-8:], "big"), Digest("sha256", record[_NAME:-8].hex()))

    def _name(self, number: int) -> bytes:
        return self.records[number * _RECORD : number * _RECORD + _NAME]


def readable(path: str) -> bool:
    """Whether the index at `path` is one of packages, in a form that can be read here."""
    return path.rpartition("/")[2] in {"Packages", "Packages.gz", "Packages.xz", "Packages.bz2", "Packages.lzma"}


def table(path: str, pieces: Iterable[bytes]) -> Table:
    """Read an index; its name says how it is packed. Raises UpstreamBroken for what is none, or is a trap."""
    records = set()
    for paragraph in _paragraphs(_unpacked(path, pieces)):
        try:
            name, size, digest = (
                _value(paragraph, b"\nFilename:"),
                int(_value(paragraph, b"\nSize:")),
                _sha256(paragraph),
            )
        except ValueError:
            continue
        if name and len(digest) == 32 and 0 <= size < 1 << 63:  # noqa: PLR2004 bytes of a sha256
            records.add(_hash(_plain(name)) + digest + size.to_bytes(8, "big"))
        if len(records) > _RECORDS:
            raise UpstreamBroken("An index of packages has more entries than can be looked up here.")
    return Table(b"".join(sorted(records)))


def _value(paragraph: bytes, field: bytes) -> bytes:
    """The value of a field in one line, or nothing. Half as long as a regular expression takes, and there are many."""
    start = paragraph.find(field)
    if start < 0:
        return b""
    start += len(field)
    end = paragraph.find(b"\n", start)
    return paragraph[start : len(paragraph) if end < 0 else end].strip()


def _sha256(paragraph: bytes) -> bytes:
    return bytes.fromhex(_value(paragraph, b"\nSHA256:").decode())


def _plain(name: bytes) -> bytes:
    """A file name as addresses have it here: flat repositories write `./x.deb`."""
    if b"//" not in name and b"./" not in name:
        return name
    return b"/".join(segment for segment in name.split(b"/") if segment not in {b"", b"."})


def _hash(name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=_NAME).digest()


def _paragraphs(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest, total = b"", 0
    for piece in pieces:
        total += len(piece)
        *whole, rest = (rest + piece).split(b"\n\n")
        if total > _MOST or len(rest) > _PARAGRAPH:
            raise UpstreamBroken("An index of packages is larger than any that is known; it is not read.")
        yield from (b"\n" + paragraph for paragraph in whole)
    yield b"\n" + rest


def _unpacked(path: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    ending = path.rpartition("/")[2].partition(".")[2]
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
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise UpstreamBroken("An index of packages cannot be unpacked.") from error


def _streamed(make: type[bz2.BZ2Decompressor | lzma.LZMADecompressor], pieces: Iterable[bytes]) -> Iterator[bytes]:
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
    unpacker = zlib.decompressobj(wbits=31)
    for received in pieces:
        piece = received
        while piece:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=31)
            yield unpacker.decompress(piece, _PIECE)
            piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
