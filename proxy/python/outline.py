"""The outline of a page: its links in groups by name, so that one is found without reading the others. Pure.

`encode` makes the bytes, `look_up` reads as few of them as it needs. A file comes out of an outline as it comes out of
the parsed page; tests hold that. The form is this version's alone: no other version reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from zlib import crc32

import msgspec

from proxy.python.file_list import file_of, links_of
from proxy.python.page import File
from proxy.python.parsed_page import ParsedPage, Summary
from proxy.python.plain_links import Link, PlainHashes, PlainLink

_GROUP = 16  # links of a group, about
_LONGEST = 64 << 10  # bytes of a group: it is read and decoded on the event loop
_PLAIN, _ANY = b"\0", b"\1"  # what a group holds: plain links only, or files
_SPAN = struct.Struct("<II")  # where a group begins, and where it ends, counted from the end of the table
_OFFSET = _SPAN.size // 2

Read = Callable[[int, int], bytes]  # gives so many bytes (the second) from a place on (the first)


class OutlineFacts(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a page without its links. `groups`: how many there are; 0: the links had to be left out."""

    hashed: bool
    bare: tuple[str, ...]
    quarantined: bool
    groups: int

    @property
    def summary(self) -> Summary:
        """The page's summary."""
        return Summary(self.hashed, frozenset(self.bare), self.quarantined)


class _OutlinedLink(msgspec.Struct, array_like=True, gc=False):
    """A plain link without names of keys, and without the old ones. The fields are those of `PlainLink`."""

    filename: str
    url: str
    hashes: PlainHashes
    core_metadata: bool | PlainHashes | None
    requires_python: str | None
    yanked: bool | str | None
    gpg_sig: bool | None
    size: int | None
    upload_time: str | None
    provenance: str | None

    def link(self) -> PlainLink:
        """The link, as far as its file is made of it."""
        return PlainLink(**msgspec.structs.asdict(self))


class Excerpt(msgspec.Struct, frozen=True):
    """The answer to who asked a page for files of some names: its summary, and the files by name."""

    summary: Summary
    by_name: Mapping[str, Sequence[File]]


def encode(page: ParsedPage) -> tuple[OutlineFacts, bytes]:
    """The outline of a page: its facts, and its links."""
    links = links_of(page.page.files)
    try:
        groups = _groups(links)
    except (TypeError, ValueError, OverflowError, RecursionError):
        groups = []  # a number, a text or a depth that cannot be written: such a page is parsed
    if any(len(group) > _LONGEST for group in groups):
        groups = []
    summary = page.summary
    facts = OutlineFacts(summary.hashed, tuple(sorted(summary.bare)), summary.quarantined, len(groups))
    place, places = 0, [0]
    for group in groups:
        place += len(group)
        places.append(place)
    return facts, b"".join((struct.pack(f"<{len(places)}I", *places), *groups))


def look_up(read: Read, facts: OutlineFacts, names: Iterable[str]) -> dict[str, list[File]]:
    """By name, the files of these names, as they come on the page. `read` reads what `encode` gave."""
    return {name: _files(read, facts.groups, name) for name in names}


def _files(read: Read, groups: int, name: str) -> list[File]:
    try:
        number = crc32(name.encode()) % groups
    except UnicodeEncodeError:
        return []
    start, end = _SPAN.unpack(read(number * _OFFSET, _SPAN.size))
    group = read((groups + 1) * _OFFSET + start, end - start)
    if group[:1] == _PLAIN:
        return [link.link().file() for link in _plain.decode(memoryview(group)[1:]) if link.filename == name]
    return [file for file in _any.decode(memoryview(group)[1:]) if file.filename == name]


def _groups(links: Sequence[Link]) -> list[bytes]:
    count = -(-len(links) // _GROUP) or 1
    groups: list[list[Link]] = [[] for _ in range(count)]
    for link in links:
        groups[crc32(link.filename.encode()) % count].append(link)
    return [_encoded(group) for group in groups]


def _encoded(group: Sequence[Link]) -> bytes:
    if all(isinstance(link, PlainLink) for link in group):
        return _PLAIN + _encoder.encode(msgspec.convert(group, list[_OutlinedLink], from_attributes=True))
    return _ANY + _encoder.encode([file_of(link) for link in group])


def _table(value: object) -> object:
    """What an empty mapping that nobody can change is written as."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"not a value of JSON: {type(value)}")


_encoder = msgspec.msgpack.Encoder(enc_hook=_table)
_plain = msgspec.msgpack.Decoder(list[_OutlinedLink])
_any = msgspec.msgpack.Decoder(list[File])
