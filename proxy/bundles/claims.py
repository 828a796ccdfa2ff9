"""What a manifest says of a body, held against its bytes: its sha256, and each digest that an entry gives it. Pure.

An entry that names a digest in another algorithm would be believed ever after, since the store compares a file with it
only once. So each of them is hashed here, whoever wrote it. Keys are those of docs/formats.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from msgspec import structs

from proxy.bundles import layout
from proxy.bundles.manifest import BadBundle, BundleMember
from proxy.bundles.tar_stream import shown
from proxy.model import ALGORITHMS, Digest, Entry

# What an entry may be. Of other kinds nothing is known here, so they are left out.
_KINDS = (
    "page:",
    "removed:",
    "file:",
    "digest:",
    "apt:release:",
    "apt:signature:",
    "apt:index:",
    "apt:file:",
    "apt:document:",
)
_INDEX_DIGEST = re.compile(r"(?=:([0-9a-f]{32,128}):)")  # wherever it may stand: each has to be the body's
_BY_LENGTH = {hashlib.new(name, usedforsecurity=False).digest_size * 2: name for name in ALGORITHMS}
_BEYOND_LATIN_1 = "\xff"
_LONGEST = 8192  # characters of an address, or of a header's value


class BodyHashes:
    """The hashes of the body of one member, while it is read."""

    def __init__(self, member: BundleMember) -> None:
        self._member = member
        self._claimed = [claim for entry in member.entries for claim in claims(entry)]
        names = {"sha256", *(digest.algorithm for digest in self._claimed)}
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    @property
    def named(self) -> bool:
        """Whether only the sha256 is claimed, which is the name of a stored body."""
        return all(digest.algorithm == "sha256" for digest in self._claimed)

    def update(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Hash the next pieces."""
        for piece in pieces:
            for running in self._hashes.values():
                running.update(piece)

    def check(self, sha256: str | None = None) -> None:
        """The body is whole. Raises BadBundle, which names the member, if it is not what the manifest says.

        `sha256`: of a body that is not hashed again, since only that is claimed of it.
        """
        found = {name: running.hexdigest() for name, running in self._hashes.items()}
        found["sha256"] = sha256 or found["sha256"]
        if found["sha256"] != self._member.sha256:
            raise BadBundle(
                f"{shown(self._member.path)} is damaged: it does not have the sha256 that {layout.MANIFEST} gives it."
            )
        for digest in self._claimed:
            if found[digest.algorithm] != digest.value:
                raise BadBundle(
                    f"{shown(self._member.path)} is wrong: {layout.MANIFEST} gives it a {digest.algorithm} that it "
                    "does not have."
                )


def claims(entry: Entry) -> Iterator[Digest]:
    """The digests that an entry says its body has, apart from the one that names it."""
    if entry.promised is not None:
        yield entry.promised
    if entry.key.startswith("digest:"):
        digest = Digest.parse(entry.key.removeprefix("digest:"))
        if digest is None or f"digest:{digest}" != entry.key:
            raise BadBundle(f"{layout.MANIFEST} has an address by a digest that is none.")
        yield digest
    if entry.key.startswith("apt:index:"):
        for value in _INDEX_DIGEST.findall(entry.key):
            if len(value) not in _BY_LENGTH:
                raise BadBundle(f"{layout.MANIFEST} has an index by a digest that is none.")
            yield Digest(_BY_LENGTH[len(value)], value)


def known(member: BundleMember, now: float) -> list[Entry]:
    """The entries of a member that mean something here. None of them is from the future: `now` is the latest time.

    Raises BadBundle, which names the member, for what can stand in no answer and in no request.
    """
    found = []
    for entry in member.entries:
        if not entry.key.startswith(_KINDS):
            continue
        fields = (entry.content_type, entry.validator.etag or "", entry.validator.last_modified or "")
        if not all(map(_is_field, fields)) or not entry.url.isprintable() or len(entry.url) > _LONGEST:
            raise BadBundle(f"{layout.MANIFEST} is wrong of {shown(member.path)}: an entry has what no answer has.")
        if max(entry.stored, entry.checked) > now:
            entry = structs.replace(entry, stored=min(entry.stored, now), checked=min(entry.checked, now))  # noqa: PLW2901
        found.append(entry)
    return found


def _is_field(value: str) -> bool:
    """Whether it can be the value of a header (RFC 9110 §5.5)."""
    if len(value) > _LONGEST or not value.isprintable():
        return False
    return value.isascii() or not any(map(_BEYOND_LATIN_1.__lt__, value))
