"""Kinds of files: whether bytes can be what the file's name says, where neither a digest nor a length tells.

`body_checks` and whoever stores bodies without a digest use it. Pure: no I/O. It knows beginnings and ends, and never
says that a file is right: only that it cannot be.
"""

from __future__ import annotations

import re
from typing import Protocol

from proxy.gzip_format import MAGIC, DamagedGzip, GzipMember, beginning

_PAGES = frozenset(("text/html", "application/xhtml+xml", "application/xml", "text/xml"))

_HTML = (".html", ".htm", ".xhtml")
_MARKUP = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|script|title|meta)\b",
    re.DOTALL | re.IGNORECASE,
)

_ZIP = (".whl", ".zip", ".egg", ".conda")
_GZIP = (".gz", ".tgz")
_AR = (".deb", ".udeb", ".ddeb")
_OTHERS = {
    (".bz2", ".tbz", ".tbz2"): (b"BZh", b""),
    (".xz", ".txz"): (b"\xfd7zXZ\x00", b"YZ"),
    (".zst", ".tzst"): (b"\x28\xb5\x2f\xfd", b""),
}
_END = re.compile(rb"PK\x05\x06.{8}(.{4}).{4}(..)", re.DOTALL)  # a zip's end of central directory
_END_MOST = 22 + 0xFFFF  # bytes of it, with its comment
_ENTRY = b"PK\x01\x02"
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20  # ZIP64: stands before the end, behind an end of its own
_AR_MAGIC = b"!<arch>\n"
_MEMBER = 60  # bytes of the header before each member of an ar archive
_STEP = 1 << 20  # bytes that are unpacked at once, and thrown away
HEAD = 512  # bytes that show whether a body begins as its name says


def is_page(content_type: str) -> bool:
    """Whether a body is a page by its media type, such as a login page or an error page in place of a file."""
    return content_type.partition(";")[0].strip().lower() in _PAGES


def is_markup(head: bytes) -> bool:
    """Whether a body that is a page by its media type begins as one, and not as a binary file; an empty one may be."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"", b"<"}


def is_html(name: str, head: bytes) -> bool:
    """Whether the first bytes are those of an HTML page, and the file's name is not that of one.

    For files whose media type says nothing: some servers call everything text/html, and login pages come as anything.
    """
    return not name.lower().endswith(_HTML) and _MARKUP.match(head) is not None


class Shape(Protocol):
    """What a kind of file demands of its bytes."""

    def feed(self, piece: bytes | memoryview) -> None:
        """The next bytes."""
        ...

    def whole(self) -> bool:
        """Whether the bytes so far can be a whole file of the kind."""
        ...


def shape(name: str) -> Shape | None:
    """What is demanded of a file called `name`; None for unknown kinds."""
    lowered = name.lower()
    if lowered.endswith(_ZIP):
        return _Zip()
    if lowered.endswith(_GZIP):
        return _Gzip()
    if lowered.endswith(_AR):
        return _Ar()
    for endings, (first, last) in _OTHERS.items():
        if lowered.endswith(endings):
            return _Framed(first, last)
    return None


def begins(name: str, head: bytes) -> bool:
    """Whether a body whose first bytes are `head` is the file itself, and not in a content coding (RFC 9110 §8.4).

    Some servers name the file's own compression: `Content-Encoding: gzip` for a `.tar.gz`. `head` has `HEAD` bytes, or
    all. False for names that say nothing of the bytes.
    """
    lowered = name.lower()
    if lowered.endswith(_ZIP):
        return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    if lowered.endswith(_GZIP):
        return head.startswith(MAGIC) and beginning(head, len(MAGIC)) != MAGIC
    if lowered.endswith(_AR):
        return head.startswith(_AR_MAGIC)
    return any(lowered.endswith(endings) and head.startswith(first) for endings, (first, _) in _OTHERS.items())


class _Framed:
    """A file that begins with certain bytes, and may end with others, before padding of zeros."""

    def __init__(self, first: bytes, last: bytes) -> None:
        self._first = first
        self._last = last
        self._head = b""
        self._tail = b""

    def feed(self, piece: bytes | memoryview) -> None:
        if len(self._head) < len(self._first):
            self._head += bytes(piece[: len(self._first) - len(self._head)])
        self._tail = (self._tail + bytes(piece[-_MEMBER:]))[-_MEMBER:]

    def whole(self) -> bool:
        return self._head == self._first and self._tail.rstrip(b"\0").endswith(self._last)


class _Zip:
    """APPNOTE.TXT 4.3.16: the end of the central directory, with the directory before it."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, piece: bytes | memoryview) -> None:
        self._tail = (self._tail + bytes(piece[-_END_MOST:]))[-_END_MOST:]

    def whole(self) -> bool:
        for end in _END.finditer(self._tail):
            size, at = int.from_bytes(end[1], "little"), end.start()
            if end.end() + int.from_bytes(end[2], "little") > len(self._tail):
                continue  # its comment is cut short
            if not size or size > at or self._tail.startswith(_ENTRY, at - size):
                return True  # without files, or longer than what is looked at, or in its place
            if self._tail.startswith(_LOCATOR, max(at - _LOCATOR_SIZE, 0)):
                return True
        return False


class _Gzip:
    """RFC 1952: members one after another, each with its checksum. Bytes behind them that are no member are ignored."""

    def __init__(self) -> None:
        self._member = GzipMember()
        self._members = 0  # complete
        self._unpacked = 0  # bytes of the present member
        self._wrong = self._over = False

    def feed(self, piece: bytes | memoryview) -> None:
        rest = bytes(piece)
        while rest and not self._wrong and not self._over:
            if self._member.over:
                rest = rest.lstrip(b"\0")
                if not rest:
                    return
                self._member, self._unpacked = GzipMember(), 0
            try:
                for unpacked in self._member.feed(rest, _STEP):
                    self._unpacked += len(unpacked)
            except DamagedGzip:
                self._over = bool(self._members) and not self._unpacked
                self._wrong = not self._over
                return
            self._members += self._member.over
            rest = self._member.behind

    def whole(self) -> bool:
        return self._members > 0 and not self._wrong and (self._member.over or self._over)


class _Ar:
    """deb(5), ar(5): a magic line, then members that say how long they are."""

    def __init__(self) -> None:
        self._pending = b""
        self._need = len(_AR_MAGIC)  # bytes of the magic, or of the next header
        self._skip = 0  # bytes of the present member that are to come
        self._filled = False  # one of them is a byte of padding
        self._members = 0
        self._wrong = False

    def feed(self, piece: bytes | memoryview) -> None:
        rest = memoryview(piece)
        while rest and not self._wrong:
            passed = min(self._skip, len(rest))
            self._skip -= passed
            rest = rest[passed:]
            taken = bytes(rest[: self._need - len(self._pending)])
            self._pending += taken
            rest = rest[len(taken) :]
            if len(self._pending) == self._need:
                self._read(self._pending)
                self._pending, self._need = b"", _MEMBER

    def _read(self, header: bytes) -> None:
        if self._need == len(_AR_MAGIC):
            self._wrong = header != _AR_MAGIC
            return
        size = header[48:58].strip()
        self._wrong = not header.endswith(b"`\n") or not size.isdigit()
        if not self._wrong:
            self._members += 1
            self._filled = bool(int(size) % 2)
            self._skip = int(size) + self._filled

    def whole(self) -> bool:
        # Some leave out the padding of the last member.
        return not self._wrong and self._members > 0 and not self._pending and self._skip <= self._filled
