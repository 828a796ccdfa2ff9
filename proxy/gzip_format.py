"""gzip (RFC 1952), packed and unpacked by isal where there is a wheel of it, else by zlib.

Both make and read the same format, isal in a fraction of the time: pages of an index are megabytes, and come packed.
Unpacking is bounded: a few bytes may become megabytes. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

try:
    from isal import isal_zlib as _library

    _LEVEL = 1  # as small as zlib's level 6
except ImportError:  # there is no wheel of it for this kind of machine
    import zlib as _library  # type: ignore[no-redef]

    _LEVEL = 6

MAGIC = b"\x1f\x8b"  # how each member begins
_Error: type[Exception] = _library.error  # type: ignore[assignment]  # the stub names an instance
_WINDOW = 31  # zlib's of 32 KiB, and a header of gzip


class DamagedGzip(ValueError):
    """The bytes are not gzip, or not whole."""


class GzipMember:
    """One member, unpacked as its bytes come. Members follow one another in a file (RFC 1952 §2.2).

    Mutable state: how far it is. `behind`: bytes that came behind its end.
    """

    def __init__(self) -> None:
        self._unpacker: Any = _library.decompressobj(wbits=_WINDOW)

    @property
    def over(self) -> bool:
        """Whether all of it has come, and its checksum is right."""
        return bool(self._unpacker.eof)

    @property
    def behind(self) -> bytes:
        """What came behind the end of it."""
        return bytes(self._unpacker.unused_data)

    def feed(self, data: bytes | memoryview, most: int) -> Iterator[bytes]:
        """Unpack what `data` adds, in pieces of at most `most` bytes. All of them have to be taken.

        Raises DamagedGzip.
        """
        unpacker, rest, full = self._unpacker, data, False
        while (len(rest) or full) and not unpacker.eof:
            try:
                piece = bytes(unpacker.decompress(rest, most))
            except _Error as error:
                raise DamagedGzip(str(error)) from error
            # The library may have read all, and still hold back what there was no room for.
            rest, full = unpacker.unconsumed_tail, len(piece) == most
            if piece:
                yield piece


def packed(body: bytes) -> bytes:
    """The body as one member."""
    return bytes(_library.compress(body, _LEVEL, _WINDOW))


def beginning(head: bytes, most: int) -> bytes:
    """The first bytes of what a gzip file contains whose own first bytes are `head`; at most `most`, empty if none."""
    try:
        return next(GzipMember().feed(head, most), b"")
    except DamagedGzip:
        return b""
