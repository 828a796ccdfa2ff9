"""The root list of an index, rewritten as it streams by: hundreds of thousands of links, never held whole.

PyPI's list has root-relative links (`/simple/x/`), which would leave the mount. They become relative (`x/`), and all
else passes unchanged. JSON has no links and needs none of this.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HELD_LIMIT = 64 << 10  # bytes of a tag that has not ended, after which it passes as it is


class ProjectListRewriter:
    """Rewrites one list. Mutable state: the beginning of a tag whose end is still to come."""

    def __init__(self, base: str) -> None:
        """`base`: the list's own address upstream, or its path; it ends in a slash."""
        parts = urlsplit(base)
        front = rf"(?:(?:{re.escape(parts.scheme)}:)?//{re.escape(parts.netloc)})?" if parts.netloc else ""
        # What would be no relative path without its front (a second slash, a scheme) keeps it.
        guard = r"(?!/)(?![^\"'/>]*:)"
        pattern = rf"((?i:<a\s(?:[^<>]*?\s)?href\s*=\s*)[\"']?){front}{re.escape(parts.path)}{guard}"
        self._link = re.compile(pattern.encode())
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be sent on, now that `chunk` has come."""
        text = self._held + chunk
        end = text.rfind(b"<")
        if end < 0 or b">" in text[end:] or len(text) - end > _HELD_LIMIT:
            self._held = b""
            return self._rewritten(text)
        self._held = text[end:]
        return self._rewritten(text[:end])

    def finish(self) -> bytes:
        """The rest, now that the list has ended."""
        rest, self._held = self._held, b""
        return self._rewritten(rest)

    def _rewritten(self, text: bytes) -> bytes:
        return self._link.sub(rb"\1", text)
