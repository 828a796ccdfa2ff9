"""User names and passwords in addresses, taken out of what is passed on: they are nobody's business but the index's.

Used by `lists`, as text streams by, and by `rendering`, for what a page says beside its links. Links of pages have lost
theirs before; see `links`. Pure.
"""

from __future__ import annotations

import re

# In JSON a slash may be written with a backslash before it. A password may have an at sign.
_USER = re.compile(rb"((?:\\?/){2})([^/\\\s\"'<>?#]{1,1024})@")
_BEFORE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*:|[\w.~%/:+-])\Z")
_WEB = re.compile(rb"(?:.*\+)?https?:", re.IGNORECASE)
_SCHEME = 32  # bytes before the slashes that are looked at
_ENDS = (b" ", b"\t", b"\r", b"\n", b'"', b"'", b"<", b">", b"?", b"#")  # what no user name goes across
_LONGEST = 2048  # bytes of a word that has not ended, after which it passes


def discreet(text: bytes) -> bytes:
    """A text whose addresses name no user; those of repositories (`ssh://git@host`) lose a password alone."""
    return _USER.sub(_shown, text) if b"@" in text else text


def _shown(found: re.Match[bytes]) -> bytes:
    slashes, user = found.groups()
    before = _BEFORE.search(found.string[max(found.start() - _SCHEME, 0) : found.start()])
    if before is None or _WEB.fullmatch(before[1]):
        return slashes
    if before[1].endswith(b":"):
        return slashes + user.partition(b":")[0] + b"@"
    return found[0]  # a path with an empty segment


class Discretion:
    """The same for a text as it streams by. Mutable state: the beginning of a word whose end is still to come."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be sent on, now that `chunk` has come."""
        text = self._held + chunk
        end = max(map(text.rfind, _ENDS)) + 1
        if len(text) - end > _LONGEST:
            end = len(text)
        self._held = text[end:]
        return discreet(text[:end])

    def finish(self) -> bytes:
        """The rest, now that the text has ended."""
        rest, self._held = self._held, b""
        return discreet(rest)
