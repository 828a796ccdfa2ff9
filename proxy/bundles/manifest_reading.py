"""A manifest that comes in pieces → its members, one after another, so that memory does not grow with it. Pure.

What an export writes has a line for each member, and is read by lines. The same JSON in another form, as other tools
write it, is read whole. Each member is looked at as `manifest.decode` does; what is there twice, others notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from proxy.bundles import layout, manifest
from proxy.bundles.manifest import BadBundle, BundleMember

_HEAD = re.compile(rb'\{"format":(\d{1,9}),"created":(-?\d[-+.eE\d]{0,30}),"members":\[\n')
_LONGEST_HEAD = 100
_TAIL = b"]}"
_member = msgspec.json.Decoder(BundleMember)


class ManifestReading:
    """Reads one manifest. Raises BadBundle. `created` is known when there are members: seconds since the epoch."""

    def __init__(self) -> None:
        self.created = 0.0
        self._text = bytearray()  # that was not read yet
        self._lined: bool | None = None  # whether it has a line for each member; None: not known yet
        self._more = True  # members may follow
        self._over = False

    def feed(self, piece: bytes | memoryview) -> Iterator[BundleMember]:
        """The members that are whole with this piece."""
        self._text += piece
        if self._lined is None and (len(self._text) >= _LONGEST_HEAD or b"\n" in self._text):
            self._begin()
        if not self._lined:
            return
        whole, _, rest = self._text.rpartition(b"\n")
        if whole:
            self._text = rest
            for line in whole.split(b"\n"):
                yield from self._line(line)

    def finish(self) -> Iterator[BundleMember]:
        """The rest, when there are no more pieces."""
        if self._lined is None:
            self._begin()
        if not self._lined:
            found = manifest.decode(self._text)
            self.created = found.created
            yield from found.members
        elif self._text.strip() or not self._over:
            raise _unreadable("its end is missing")

    def _begin(self) -> None:
        head = _HEAD.match(self._text)
        self._lined = head is not None
        if head is not None:
            manifest.refuse_later(int(head[1]))
            try:
                self.created = float(head[2])
            except ValueError as error:
                raise _unreadable(str(error)) from error
            del self._text[: head.end()]

    def _line(self, line: bytes | bytearray) -> Iterator[BundleMember]:
        if not line or self._over:
            if line.strip():
                raise _unreadable("something is behind its end")
            return
        if line == _TAIL:
            self._over = True
            return
        if not self._more:
            raise _unreadable("a comma is missing")
        self._more = line.endswith(b",")
        try:
            member = _member.decode(line[:-1] if self._more else line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unreadable(str(error)) from error
        manifest.check(member)
        yield member


def _unreadable(why: str) -> BadBundle:
    return BadBundle(f"{layout.MANIFEST} cannot be read: {why}.")
