"""Whether an upstream response can be the file that is wanted: judged by its head, its first bytes, and its end.

A known digest decides alone: gateways call a wheel text/html, and index pages give wrong sizes. Only where both the
media type and the size are wrong do the first bytes decide. Without a digest, a length tells what is whole; without a
length, what files of that kind are like. `filling`, `passthrough` and `downloads` use it. Never reads from upstream.
"""

from __future__ import annotations

import hashlib

from proxy.cache import content_coding, file_kinds
from proxy.cache.file_kinds import Shape
from proxy.cache.flight import WantedFile
from proxy.errors import Coded, WrongBytes
from proxy.ports import Reply


def refuse_by_head(reply: Reply, wanted: WantedFile, size: int | None) -> None:
    """Raise WrongBytes for a response that by its head cannot be the file. `size`: of the whole, as the head says."""
    if wanted.digest is None and _typed_as_page(reply, wanted):
        raise _page_instead()
    if size == 0 and not _may_be_empty(wanted):
        raise not_whole(wanted)
    if size is not None and wanted.length not in (None, size):
        raise WrongBytes("Upstream offers a file of another length than the index promises. Nothing was cached.")


def refuse_page(name: str, head: bytes) -> None:
    """Raise WrongBytes for an HTML page in place of the file called `name`, by its first bytes."""
    if file_kinds.is_html(name, head[: file_kinds.HEAD]):
        raise _page_instead()


def is_coded(reply: Reply) -> bool:
    """Whether a response names a content coding, which was not asked for."""
    return bool(content_coding.codings(reply.headers.get("content-encoding")))


def shape_of(wanted: WantedFile) -> Shape | None:
    """What the kind of a file demands of its bytes, where neither a digest nor a size is known of it."""
    return file_kinds.shape(wanted.name) if wanted.digest is None and wanted.size is None else None


def not_whole(wanted: WantedFile) -> WrongBytes:
    """What is raised for bytes that cannot be what they are called."""
    kind = wanted.name.rpartition(".")[2].lower()
    return WrongBytes(f"What upstream sent is no whole .{kind} file, whatever it is. Nothing was cached; try again.")


class FirstBytes:
    """What the first bytes of a body have to tell: whether it is the file, a page, or in a content coding.

    `start`: where in the file the body begins.
    """

    def __init__(self, reply: Reply, wanted: WantedFile, *, start: int = 0) -> None:
        known = wanted.digest is not None
        self.paged = known and not start and _typed_as_page(reply, wanted)  # its media type says that it is a page
        self._coded = not known and is_coded(reply) and not wanted.text
        self._looked_at = not known and not start and wanted.looked_at
        self._size = reply.size
        self._wanted = wanted

    @property
    def needed(self) -> bool:
        """Whether they have to be looked at; else the head says enough."""
        return self.paged or self._coded or self._looked_at

    def refuse(self, head: bytes) -> None:
        """Raise Coded for a body in a content coding, WrongBytes for a page. `head`: HEAD bytes of it, or all."""
        if self._coded and not file_kinds.begins(self._wanted.name, head):
            raise Coded("Upstream sent a file in a content coding that was not asked for.")
        if self._looked_at:
            refuse_page(self._wanted.name, head)
        if self.paged and file_kinds.is_markup(head) and self._is_other(head):
            raise _page_instead()

    def _is_other(self, head: bytes) -> bool:
        """Whether markup is not the file: it has another size, or no file of that kind begins so."""
        if self._size is not None and self._wanted.size not in (None, self._size):
            return True
        return bool(head.strip()) and file_kinds.shape(self._wanted.name) is not None


class BodyCheck:
    """Checks a body piece by piece, in order. `start`: where in the file it begins."""

    def __init__(self, reply: Reply, wanted: WantedFile, *, start: int) -> None:
        self._wanted = wanted
        self._first = FirstBytes(reply, wanted, start=start)
        self._head = b""
        self._shape = None if start else shape_of(wanted)
        self._measured = reply.size is not None

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        if self._first.needed and len(self._head) < file_kinds.HEAD:
            self._head += piece[: file_kinds.HEAD - len(self._head)]
        if self._shape is not None and not self._measured:
            self._shape.feed(piece)

    def refuse_beginning(self) -> None:
        """Raise Coded for a body in a content coding, WrongBytes for a page."""
        self._first.refuse(self._head)

    def refuse_end(self, size: int) -> None:
        """Raise WrongBytes for a body of `size` bytes that is empty, or that was cut short where no length tells."""
        if self._shape is not None and (not self._measured or not size) and not self._shape.whole():
            raise not_whole(self._wanted)


def _page_instead() -> WrongBytes:
    return WrongBytes("Upstream sent an HTML page in place of the file (a login page, perhaps). Nothing was cached.")


def _typed_as_page(reply: Reply, wanted: WantedFile) -> bool:
    """Whether a response is a page by its media type, in place of a binary file."""
    return wanted.binary and file_kinds.is_page(reply.headers.get("content-type", ""))


def _may_be_empty(wanted: WantedFile) -> bool:
    digest = wanted.digest
    if digest is None:
        return file_kinds.shape(wanted.name) is None
    return digest.value == hashlib.new(digest.algorithm, usedforsecurity=False).hexdigest()
