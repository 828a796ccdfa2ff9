"""The JSON of a page, cut into pieces that are decoded one after another. Pure.

A thread that decodes has the interpreter for itself as long as one call takes, and a page may have megabytes. So its
list of files is cut between two of them. Where to cut is guessed, and the guess is proved: JSON that is cut within a
text or a deeper list cannot be decoded. Called by `parsing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

_PIECE = 128 << 10  # bytes
_BEGIN = re.compile(rb'"files"\s*:\s*\[(?=\s*\{)')
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")
_IN_PLACE = b"the list of files was cut out here"
_LISTS = 100  # behind the list of files, that are passed by
_SPACE = 64  # bytes between the last file and the end of the list
NOT_JSON = (msgspec.DecodeError, ValueError, RecursionError)


class CutPage:
    """JSON without its list of files, decoded, and that list in pieces."""

    def __init__(self, top: dict[str, Any], body: bytes, start: int, end: int) -> None:
        """`top` does not have the key. The list is from `start` to `end`, without its brackets."""
        self.top = top
        self._body = body
        self._start = start
        self._end = end

    def pieces(self) -> Iterator[bytes]:
        """The list of files as several lists. If one cannot be decoded, the whole page has to be."""
        start = self._start
        while start < self._end:
            cut = _BETWEEN.search(self._body, start + _PIECE, self._end)
            piece = self._body[start : cut.start() + 1 if cut is not None else self._end]
            yield b"[%b]" % piece
            start = cut.end() if cut is not None else self._end


def cut(body: bytes) -> CutPage | None:
    """Cut a page; None if it has no list of files, or is to be decoded as a whole."""
    begin = _BEGIN.search(body)
    end = _end(body, begin.end()) if begin is not None else -1
    if begin is None or end < 0:
        return None
    before, after = body[: begin.end()], body[end:]
    if _IN_PLACE in before or _IN_PLACE in after:
        return None
    try:
        top = msgspec.json.decode(b'%b"%b"%b' % (before, _IN_PLACE, after))
    except NOT_JSON:
        return None
    # Else the key was that of something within the page, or the page has another one of the same name.
    found = isinstance(top, dict) and top.pop("files", None) == [_IN_PLACE.decode()]
    return CutPage(top, body, begin.end(), end) if found else None


def _end(body: bytes, start: int) -> int:
    """Where the last list of tables ends, which is the list of files, or cannot be decoded; -1 if there is none."""
    end = len(body)
    for _ in range(_LISTS):
        end = body.rfind(b"]", start, end)
        if end < 0 or body[max(end - _SPACE, start) : end].rstrip().endswith(b"}"):
            break
    else:
        return -1
    return end
