"""The manifest of a bundle: what is in it, where it came from, and when. Its form is in docs/formats.md. Pure.

Written by `writer`, and the first thing that a reader reads. It is not believed before it was looked at: `decode`
refuses what no export writes, and says which member is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from proxy.bundles import layout
from proxy.errors import PullthroughError
from proxy.model import Digest, Entry

FORMAT = 1
LONGEST = 512 << 20  # bytes of a manifest: some 800,000 files

_BACK = b"\n]}\n"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BadBundle(PullthroughError):
    """What was given is no bundle, or is damaged, or was made by a later version. The text names the member."""


class BundleMember(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of a bundle. `size` in bytes.

    `entries`: what the cache knows of the addresses that have this body; none for what was made for people.
    `elsewhere`: the file is not in this tar: the bundle that this one follows has it.
    """

    path: str
    size: int
    sha256: str
    entries: tuple[Entry, ...] = ()
    elsewhere: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """All members of a bundle but the manifest, in their order. `created`: seconds since the epoch."""

    created: float
    members: tuple[BundleMember, ...]
    format: int = FORMAT


class _Version(msgspec.Struct):
    """What every version of the format has."""

    format: int


def encode(created: float, members: Iterable[BundleMember]) -> Iterator[bytes]:
    """A manifest in pieces, a line for each member: JSON that people and line-wise tools can read."""
    return framed(created, map(msgspec.json.encode, members))


def framed(created: float, members: Iterable[bytes]) -> Iterator[bytes]:
    """What `encode` gives, of members that are JSON already."""
    yield _front(created)
    between = b""
    for member in members:
        yield between + member
        between = b",\n"
    yield _BACK


def size(created: float, lengths: Iterable[int]) -> int:
    """The bytes of what `framed` gives for members of these lengths."""
    count = total = 0
    for length in lengths:
        count += 1
        total += length
    return len(_front(created)) + len(_BACK) + total + max(count - 1, 0) * len(b",\n")


def _front(created: float) -> bytes:
    return b'{"format":%d,"created":%b,"members":[\n' % (FORMAT, msgspec.json.encode(created))


def decode(text: bytes | bytearray | memoryview) -> Manifest:
    """Read a manifest. Raises BadBundle."""
    try:
        refuse_later(msgspec.json.decode(text, type=_Version).format)
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBundle(f"{layout.MANIFEST} cannot be read: {error}.") from error
    paths, keys = {layout.MANIFEST}, set[str]()
    for member in manifest.members:
        check(member)
        if member.path in paths:
            raise BadBundle(f"{layout.MANIFEST} has {member.path!r} twice.")
        paths.add(member.path)
        for entry in member.entries:
            if entry.key in keys:
                raise BadBundle(f"{layout.MANIFEST} is wrong of {member.path!r}: another member has its address, too.")
            keys.add(entry.key)
    return manifest


def refuse_later(version: int) -> None:
    """Raise BadBundle for a version of the format that this program does not know."""
    if version > FORMAT:
        raise BadBundle(
            f"This bundle has format {version}, and this program knows format {FORMAT}: it was made by a later "
            "version. Update pullthrough."
        )


def check(member: BundleMember) -> None:
    """Raise BadBundle for what no export writes of a member."""
    if (wrong := _wrong(member)) is not None:
        raise BadBundle(f"{layout.MANIFEST} is wrong of {member.path!r}: {wrong}.")


def _wrong(member: BundleMember) -> str | None:
    """What no export writes of a member; None if all is well."""
    if not layout.sound(member.path):
        return "its path is none of a plain file below the bundle's folder"
    if member.size < 0 or not _SHA256.fullmatch(member.sha256):
        return "its size or its sha256 is none; a sha256 has 64 digits in lower case"
    for entry in member.entries:
        digest, promised = entry.digest, entry.promised
        if digest.value != member.sha256 or digest.algorithm != "sha256" or entry.size != member.size:
            return "an entry of it is of another file"
        if promised is not None and promised != digest and Digest.parse(str(promised)) != promised:
            return "an entry of it promises a digest that is none"
    return None
