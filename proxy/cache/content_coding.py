"""Content codings of whole bodies (RFC 9110 §8.4): which bytes are the document, whatever its server says of them.

Servers derive `Content-Encoding: gzip` from the name of a .tar.gz that they send as it is, name a coding that they did
not apply, or apply one although identity was asked for. So the field, the name and the bytes decide together. `bodies`
uses these rules as a body comes. How large a body may be is decided by the caller, between two pieces.
"""

from __future__ import annotations

import asyncio
import codecs
import enum
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from proxy.errors import UpstreamBroken
from proxy.gzip_format import DamagedGzip, GzipMember, beginning

_GZIP = frozenset({"gzip", "x-gzip"})
_NONE = frozenset({"", "identity", "aws-chunked"})  # the last one is of uploads; S3-like stores keep it with the object
_MAGIC = b"\x1f\x8b\x08"
_GZIP_ENDINGS = frozenset({".gz", ".tgz", ".taz", ".svgz"})
_GZIP_TYPES = frozenset({"application/gzip", "application/x-gzip", "application/x-gtar-compressed"})
_TEXT_ENDINGS = frozenset({".asc", ".css", ".htm", ".html", ".json", ".list", ".md", ".sources", ".txt", ".xml"})
_TEXT_NAMES = frozenset({"inrelease", "release", "release.gpg"})
# The content coding that a server derives from the name of a compressed file.
_PACKINGS = {".br": "br", ".zst": "zstd", ".z": "compress", ".xz": "xz", ".bz2": "bzip2"}
_DEEPEST = 4  # layers of gzip that are looked through
LOOKED_AT = 4096  # bytes that tell how many layers there are
_HEAD = 512  # bytes of a layer that tell whether another one is below
_PIECE = 256 << 10  # decoded bytes in one piece
_FED = 64 << 10  # coded bytes that are decoded at once
_MEMBERS = 10_000  # of one body; more of them are made to cost time


_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


class Nature(enum.Enum):
    """What a document is by its name and media type, as far as gzip is concerned."""

    TEXT = "text"  # never gzip itself
    GZIP = "gzip"  # gzip itself
    OTHER = "other"  # unknown


def nature(urls: tuple[str, ...], content_type: str) -> Nature:
    """The nature of a document at these addresses (that of the request, and the one after redirects)."""
    names = [PurePosixPath(urlsplit(url).path.lower()).name for url in urls]
    endings = {PurePosixPath(name).suffix for name in names}
    if endings & _GZIP_ENDINGS or content_type.partition(";")[0].strip().lower() in _GZIP_TYPES:
        return Nature.GZIP
    return Nature.TEXT if endings & _TEXT_ENDINGS or _TEXT_NAMES.intersection(names) else Nature.OTHER


def codings(field: str | None) -> list[str]:
    """The codings that a Content-Encoding names, in lower case, but for those that change no byte."""
    return [coding for token in (field or "").split(",") if (coding := token.strip().lower()) not in _NONE]


def layers(field: str | None, what: Nature, urls: tuple[str, ...], head: bytes) -> int:
    """How many layers of gzip are to be removed to get the document.

    `field`: its Content-Encoding. `head`: its first `LOOKED_AT` bytes, or all.

    Raises UpstreamBroken for a coding that was not asked for and that cannot be removed here.
    """
    named = codings(field)
    if not named:
        return 0
    if not _GZIP.issuperset(named):
        endings = {PurePosixPath(urlsplit(url).path.lower()).suffix for url in urls}
        if len(named) == 1 and named[0] in {_PACKINGS.get(ending) for ending in endings}:
            return 0
        if what is Nature.TEXT and _is_text(head):
            return 0  # a character set in place of a coding, or a coding that was not applied
        raise UpstreamBroken("Upstream sent a document in a content coding that was not asked for.")
    there = _depth(head)
    match what:
        case Nature.TEXT:
            return there  # text has no layers of its own
        case Nature.GZIP:
            return min(len(named), max(there - 1, 0))
        case Nature.OTHER:
            return min(len(named), there)


class Gunzip:
    """One layer of gzip, removed as the bytes come. Mutable state: the position in the present member."""

    def __init__(self) -> None:
        self._member: GzipMember | None = None  # None: between two members
        self._members = 0
        self._padded = False

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """The decoded bytes, in pieces of at most 256 KiB. Members follow one another (RFC 1952 §2.2).

        Zeros behind the last member are padding. Raises UpstreamBroken for damage, and for other bytes behind it.
        """
        rest = memoryview(data)
        while rest:
            if self._member is None and self._members and (self._padded or rest[0] == 0):
                self._padded = True
                if any(rest):
                    raise UpstreamBroken("Upstream sent something else behind the end of a gzip coded document.")
                return
            if self._member is None:
                self._members += 1
                if self._members > _MEMBERS:
                    raise UpstreamBroken("Upstream sent a gzip coded document in far too many pieces.")
                self._member = GzipMember()
            member, fed = self._member, rest[:_FED]
            try:
                yield from member.feed(fed, _PIECE)
            except DamagedGzip as error:
                raise UpstreamBroken("Upstream sent a document whose gzip coding is damaged.") from error
            rest = rest[len(fed) - len(member.behind) :]
            if member.over:
                self._member = None

    def end(self) -> None:
        """End the layer. Raises UpstreamBroken if bytes are missing."""
        if self._member is not None or not self._members:
            raise UpstreamBroken("Upstream's gzip coded document ends too early.")


async def uncoded(
    chunks: AsyncGenerator[bytes], field: str | None, what: Nature, urls: tuple[str, ...]
) -> AsyncGenerator[bytes]:
    """A body as it streams by, without the layers that `layers` finds. Raises UpstreamBroken."""
    found: list[Gunzip] | None = None if field else []
    head = b""
    async with aclosing(chunks):
        async for chunk in chunks:
            part = chunk
            if found is None:
                head += chunk
                if len(head) < LOOKED_AT:
                    continue
                found, part = [Gunzip() for _ in range(layers(field, what, urls, head))], head
            for piece in through(found, part):
                yield piece
                await asyncio.sleep(0)  # a few bytes may become megabytes
    if found is None:
        found = [Gunzip() for _ in range(layers(field, what, urls, head))]
        for piece in through(found, head):
            yield piece
    for layer in found:
        layer.end()


def through(found: Sequence[Gunzip], data: bytes) -> Iterator[bytes]:
    """The decoded bytes below all layers."""
    if not found:
        yield data
        return
    for piece in found[0].feed(data):
        yield from through(found[1:], piece)


def _is_text(head: bytes) -> bool:
    """Whether bytes that may be cut at their end are UTF-8 text, which compressed bytes never are."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(head) and _CONTROL.search(head) is None


def _depth(head: bytes) -> int:
    """How many layers of gzip there are."""
    depth = 0
    while depth < _DEEPEST and head.startswith(_MAGIC):
        depth += 1
        head = beginning(head, _HEAD)
    return depth
