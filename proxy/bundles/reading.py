"""A bundle as it is read: its manifest first, then members that the manifest has.

`importing` takes a bundle in so, and whoever verifies one without a cache reads it so, too. Bodies are handed on in
pieces and not looked at: `claims` knows what they must be. What the manifest has is in a table that is not in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self, TypeAlias

from proxy.bundles import layout, manifest
from proxy.bundles.manifest import BadBundle, BundleMember
from proxy.bundles.manifest_reading import ManifestReading
from proxy.bundles.member_table import MemberTable
from proxy.bundles.tar_stream import Began, Ended, TarStream, shown

Event: TypeAlias = MemberTable | BundleMember | memoryview | Ended


class BundleReading:
    """Reads one bundle; close it. Raises BadBundle, which names the member, and StoreBroken; nothing is fed after that.

    `created`: seconds since the epoch, as the manifest says. `members`: all that it has.
    """

    def __init__(self) -> None:
        self.created = 0.0
        self.members = MemberTable()
        self.position = 0  # of the body that began last in the tar, in bytes
        self._tar = TarStream()
        self._manifest: ManifestReading | None = ManifestReading()  # until it is whole
        self._unlisted = False  # the present member is one that no manifest has

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.members.close()

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes bring: the table, when it is whole; then members, each with its body in pieces and `Ended`.

        It has to be read to its end before more is fed. Pieces are views of `data`.
        """
        for event in self._tar.feed(data):
            if self._manifest is not None:
                yield from self._of_manifest(event, self._manifest)
            elif isinstance(event, Began):
                number, member = self.members.find(event.path) or (0, None)
                self._unlisted = member is None and event.path == layout.SUMS
                if not self._unlisted:
                    yield self._began(event, number, member)
            elif not self._unlisted:
                yield event

    def skip(self) -> None:
        """The body of the member that just began is had in another way. As of `TarStream`."""
        self._tar.skip()

    def finish(self) -> None:
        """There are no more bytes. Raises BadBundle if something is missing."""
        self._tar.finish()
        if self._manifest is not None:
            raise BadBundle(f"The bundle has no {layout.MANIFEST}.")
        if (missing := self.members.unseen()) is not None:
            path, count = missing
            more = f", and {count - 1} more" if count > 1 else ""
            raise BadBundle(f"The bundle lacks {shown(path)}{more}. Copy it again.")

    def _of_manifest(self, event: Began | memoryview | Ended, reading: ManifestReading) -> Iterator[Event]:
        match event:
            case Began(path=path, size=size):
                if path != layout.MANIFEST:
                    raise BadBundle(f"This is no bundle: it begins with {shown(path)}, and not with {layout.MANIFEST}.")
                if size > manifest.LONGEST:
                    raise BadBundle(f"{layout.MANIFEST} is longer than any is.")
            case Ended():
                self.members.add(reading.finish())
                self.created, self._manifest = reading.created, None
                yield self.members
            case piece:
                self.members.add(reading.feed(piece))

    def _began(self, event: Began, number: int, member: BundleMember | None) -> BundleMember:
        if member is None:
            raise BadBundle(f"{shown(event.path)} is not in {layout.MANIFEST}.")
        if member.elsewhere:
            raise BadBundle(f"{shown(event.path)} is here, and {layout.MANIFEST} says that it is elsewhere.")
        if not self.members.see(number):
            raise BadBundle(f"{shown(event.path)} is there twice.")
        if event.size != member.size:
            raise BadBundle(
                f"{shown(event.path)} has {event.size} bytes, and {layout.MANIFEST} gives it {member.size}."
            )
        self.position = event.position
        return member
