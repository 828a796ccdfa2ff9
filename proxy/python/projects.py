"""The root list of an index as it streams by: hundreds of thousands of projects, never held whole.

PyPI's list has root-relative links (`/simple/x/`), which would leave the mount. They become relative (`x/`), and all
else passes unchanged here; JSON has no links and needs none of this. For a group the names are read out of either form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from proxy.python import addresses, filenames

_HELD_LIMIT = 64 << 10  # bytes of a tag that has not ended, after which it passes as it is
_HREF = re.compile(rb"(?i:<a\s(?:[^<>]*?\s)?href\s*=\s*)[\"']?([^\"'\s<>?#]+)[\"']?[^<>]*>")
_NAME = re.compile(rb'"name"\s*:\s*"([^"\\]{1,255})"')
_USUAL = re.compile(rb"([a-z0-9]+(?:-[a-z0-9]+)*)/?")  # a normalised name (PEP 503)
_LONGEST = 512  # bytes that such a member of an object may have


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


class NamesInHtml:
    """Reads the normalised names of projects out of one list in HTML. Mutable state as of the rewriter."""

    def __init__(self, base: str) -> None:
        """`base`: the list's own address upstream."""
        self._rewriter = ProjectListRewriter(base)

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The names that are known now that `chunk` has come: of links to folders here, and of no others."""
        for link in _HREF.findall(self._rewriter.feed(chunk)):
            if usual := _USUAL.fullmatch(link):
                yield usual[1].decode()  # nearly all are so, and there are hundreds of thousands
                continue
            written = unquote(link.decode("latin-1")).removeprefix("./")
            name = written.removesuffix("/")
            if filenames.is_project(name) and not filenames.is_file(written) and not filenames.is_page(written):
                yield addresses.normalize(name)


class NamesInJson:
    """Reads the normalised names of projects out of one list in JSON. Mutable state: the last bytes of a chunk."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The names that are known now that `chunk` has come."""
        text, end = self._held + chunk, 0
        for match in _NAME.finditer(text):
            end = match.end()
            name = match[1].decode("latin-1")
            if _USUAL.fullmatch(match[1]):
                yield name
            elif filenames.is_project(name):
                yield addresses.normalize(name)
        self._held = text[max(end, len(text) - _LONGEST) :]
