"""A bundle as it is read: its manifest first, then members that the manifest has. Sans I/O.

`importing` takes a bundle in so, and whoever verifies one without a cache reads it so, too. Bodies are handed on in
pieces and not looked at: `claims` knows what they must be. Memory grows with the manifest alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from proxy.bundles import layout, manifest
from proxy.bundles.manifest import BadBundle, BundleMember, Manifest
from proxy.bundles.tar_stream import Began, Ended, TarStream, shown

Event: TypeAlias = Manifest | BundleMember | memoryview | Ended


class BundleReading:
    """Reads one bundle. Raises BadBundle, which names the member; nothing can be fed after that."""

    def __init__(self) -> None:
        self._tar = TarStream()
        self._text: bytearray | None = bytearray()  # of the manifest, until it is whole
        self._members: dict[str, BundleMember] = {}
        self._seen: set[str] = set()
        self._unlisted = False  # the present member is one that no manifest has
        self.position = 0  # of the body that began last in the tar, in bytes

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes bring: the manifest; then members, each followed by its body in pieces and `Ended`.

        It has to be read to its end before more is fed. Pieces are views of `data`.
        """
        for event in self._tar.feed(data):
            if self._text is not None:
                yield from self._of_manifest(event, self._text)
                continue
            if isinstance(event, Began):
                self._unlisted = event.path == layout.SUMS and event.path not in self._members
                if not self._unlisted:
                    yield self._began(event)
            elif not self._unlisted:
                yield event

    def skip(self) -> None:
        """The body of the member that just began is had in another way. As of `TarStream`."""
        self._tar.skip()

    def finish(self) -> None:
        """There are no more bytes. Raises BadBundle if something is missing."""
        self._tar.finish()
        if self._text is not None:
            raise BadBundle(f"The bundle has no {layout.MANIFEST}.")
        missing = [path for path, one in self._members.items() if not one.elsewhere and path not in self._seen]
        if missing:
            more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise BadBundle(f"The bundle lacks {shown(missing[0])}{more}. Copy it again.")

    def _of_manifest(self, event: Began | memoryview | Ended, text: bytearray) -> Iterator[Event]:
        match event:
            case Began(path=path, size=size):
                if path != layout.MANIFEST:
                    raise BadBundle(f"This is no bundle: it begins with {shown(path)}, and not with {layout.MANIFEST}.")
                if size > manifest.LONGEST:
                    raise BadBundle(f"{layout.MANIFEST} is longer than any is.")
            case Ended():
                found, self._text = manifest.decode(text), None
                self._members = {member.path: member for member in found.members}
                yield found
            case piece:
                text += piece

    def _began(self, event: Began) -> BundleMember:
        member = self._members.get(event.path)
        if member is None:
            raise BadBundle(f"{shown(event.path)} is not in {layout.MANIFEST}.")
        if member.elsewhere:
            raise BadBundle(f"{shown(event.path)} is here, and {layout.MANIFEST} says that it is elsewhere.")
        if event.path in self._seen:
            raise BadBundle(f"{shown(event.path)} is there twice.")
        if event.size != member.size:
            raise BadBundle(
                f"{shown(event.path)} has {event.size} bytes, and {layout.MANIFEST} gives it {member.size}."
            )
        self._seen.add(event.path)
        self.position = event.position
        return member
