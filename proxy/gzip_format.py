"""gzip (RFC 1952): packed by isal where there is a wheel of it, else by zlib; unpacked by zlib.

isal packs in a fraction of the time. It unpacks faster, too, but not reliably: cut into pieces, some whole files were
damaged to it. Unpacking is bounded: a few bytes may become megabytes. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

try:
    from isal import isal_zlib as packer

    _LEVEL = 1  # as small as zlib's level 6
except ImportError:  # there is no wheel of it for this kind of machine
    import zlib as packer  # type: ignore[no-redef]

    _LEVEL = 6

MAGIC = b"\x1f\x8b"  # how each member begins
_WINDOW = 31  # zlib's of 32 KiB, and a header of gzip


class DamagedGzip(ValueError):
    """The bytes are not gzip, or not whole."""


class GzipMember:
    """One member, unpacked as its bytes come. Members follow one another in a file (RFC 1952 §2.2).

    Mutable state: how far it is. `behind`: bytes that came behind its end.
    """

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=_WINDOW)

    @property
    def over(self) -> bool:
        """Whether all of it has come, and its checksum is right."""
        return self._unpacker.eof

    @property
    def behind(self) -> bytes:
        """What came behind the end of it."""
        return self._unpacker.unused_data

    def feed(self, data: bytes | memoryview, most: int) -> Iterator[bytes]:
        """Unpack what `data` adds, in pieces of at most `most` bytes. All of them have to be taken.

        Raises DamagedGzip.
        """
        unpacker, full = self._unpacker, False
        rest: bytes | memoryview = data
        while (len(rest) or full) and not unpacker.eof:
            try:
                piece = unpacker.decompress(rest, most)
            except zlib.error as error:
                raise DamagedGzip(str(error)) from error
            # The library may have read all, and still hold back what there was no room for.
            rest, full = unpacker.unconsumed_tail, len(piece) == most
            if piece:
                yield piece


def packed(body: bytes) -> bytes:
    """The body as one member."""
    return bytes(packer.compress(body, _LEVEL, _WINDOW))


def beginning(head: bytes, most: int) -> bytes:
    """The first bytes of what a gzip file contains whose own first bytes are `head`; at most `most`, empty if none."""
    try:
        return next(GzipMember().feed(head, most), b"")
    except DamagedGzip:
        return b""
