"""A body straight from upstream to one client: ranges of files that are not here, and files that the disk cannot take.

The whole of a file with a known digest is checked on its way, its end held back until then.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from http import HTTPStatus

from proxy.cache import file_kinds
from proxy.cache.flight import HELD_BACK, Wanted
from proxy.cache.running_hash import RunningHash
from proxy.errors import Coded, UpstreamBroken, WrongBytes
from proxy.model import Ask, Kind
from proxy.ports import Reply, Upstream

# Bytes of a part that is read for what is in it, and not for the file; it arrives whole, whoever reads it how slowly.
_SMALL = 512 << 10


def refuse(reply: Reply, wanted: Wanted, size: int | None) -> None:
    """Raise WrongBytes for an answer that by its head cannot be the file. `size`: of the whole, as the head says.

    A known digest decides alone: gateways call a wheel text/html, and pages give wrong sizes. Where both are wrong,
    the first bytes have to tell; see `strange`.
    """
    if wanted.digest is None and paged(reply, wanted):
        raise page_instead()
    if size == 0 and not _may_be_empty(wanted):
        raise unlikely(wanted)
    if size is not None and wanted.length not in (None, size):
        raise WrongBytes("Upstream offers a file of another length than the index promises. Nothing was kept.")


def page_instead() -> WrongBytes:
    """What is raised for the page of a portal."""
    return WrongBytes("Upstream sent an HTML page in place of the file (a login page, perhaps). Nothing was kept.")


def paged(reply: Reply, wanted: Wanted) -> bool:
    """Whether an answer is a page by its media type, in place of a binary file."""
    return wanted.binary and file_kinds.is_page(reply.headers.get("content-type", ""))


def strange(reply: Reply, wanted: Wanted, size: int | None, head: bytes) -> WrongBytes | None:
    """What to raise for the whole of a file with a known digest that is called a page and begins as one.

    It is one where it has another size, or where no file of that kind begins so.
    """
    other = size is not None and wanted.size not in (None, size)
    other = other or (bool(head.strip()) and file_kinds.shape(wanted.name) is not None)
    return page_instead() if other and paged(reply, wanted) and file_kinds.is_markup(head) else None


def coded(reply: Reply) -> bool:
    """Whether an answer names a content coding, which nobody asked for."""
    return reply.headers.get("content-encoding", "identity").lower() != "identity"


def unlikely(wanted: Wanted) -> WrongBytes:
    """What is raised for bytes that cannot be what they are called."""
    kind = wanted.name.rpartition(".")[2].lower()
    return WrongBytes(f"What upstream sent is no whole .{kind} file, whatever it is. Nothing was kept; try again.")


def _may_be_empty(wanted: Wanted) -> bool:
    digest = wanted.digest
    if digest is None:
        return file_kinds.shape(wanted.name) is None
    return digest.value == hashlib.new(digest.algorithm, usedforsecurity=False).hexdigest()


class Whole(UpstreamBroken):
    """Upstream gives the whole file where a part was asked for: it honours no ranges, or has another version."""


class Passthrough:
    """One request upstream, open until `close`. `start`, `end` and `size` are in bytes; `size` None: unknown."""

    def __init__(self, upstream: Upstream, wanted: Wanted) -> None:
        self.start = 0
        self.end: int | None = None
        self.size: int | None = None
        self.framed = False  # whether its end is told otherwise than by the end of the connection (RFC 9112 §6.3)
        self.content_type = ""
        self.url = wanted.url  # the address that answered, after redirects
        self.last_modified: str | None = None
        self.coding: str | None = None  # the content coding that upstream names
        self._upstream = upstream
        self._wanted = wanted
        self._stack = AsyncExitStack()
        self._reply: Reply | None = None

    async def open(self, start: int, end: int | None, headers: dict[str, str]) -> None:
        """Ask for all of it (`start` 0, `end` None), for `[start, end)`, or with `start` below 0 for the last bytes.

        Raises UpstreamBroken if that fails.
        """
        wanted = self._wanted
        ranged = start != 0 or end is not None
        if ranged:
            # RFC 9110 §14.1.2: `bytes=-n` are the last n.
            span = str(start) if start < 0 else f"{start}-{'' if end is None else end - 1}"
            headers = {**headers, "Range": f"bytes={span}"}
        small = -_SMALL <= start < 0 or (end is not None and end - start <= _SMALL)
        ask = Ask(wanted.url, wanted.site, headers, Kind.METADATA if small else wanted.kind)
        reply = self._reply = await self._stack.enter_async_context(self._upstream.get(ask))
        self.framed = bool(reply.headers.get("content-length")) or "transfer-encoding" in reply.headers
        self.content_type = reply.headers.get("content-type", "")
        self.url = reply.url
        self.last_modified = reply.validator.last_modified
        self.coding = reply.headers.get("content-encoding")
        if reply.status == HTTPStatus.OK and not ranged:
            self.size = self.end = reply.size
            refuse(reply, wanted, self.size)
            packed = coded(reply) and not wanted.text
            if packed and wanted.digest is None and file_kinds.shape(wanted.name) is None:
                raise Coded("Upstream sent a file in a content coding that was not asked for.")
            return
        if reply.status == HTTPStatus.OK:
            raise Whole("Upstream does not give parts of this file.")
        part, self.size = reply.part, reply.size
        if part is None or self.size is None or not ranged:
            raise UpstreamBroken("Upstream does not give parts of this file.")
        refuse(reply, wanted, self.size if wanted.signed else None)  # the part says where it lies, whatever pages say
        if coded(reply) and wanted.digest is None:
            raise Coded("Upstream sent a part of a file in a content coding that was not asked for.")
        if part.start != (start if start >= 0 else max(self.size + start, 0)) or (end is not None and part.end > end):
            raise UpstreamBroken("Upstream answered another range than the one asked for.")
        self.start, self.end = part.start, part.end

    @property
    def whole(self) -> bool:
        """Whether this is the file from its first byte to its last."""
        return self.start == 0 and self.end == self.size

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body. Raises WrongBytes before the end of a whole file that is not the promised one."""
        if self.whole:
            async for piece in self.checked(RunningHash(self._wanted.digest)):
                yield piece
            return
        assert self._reply is not None, "opened before"
        async for chunk in self._reply.chunks():
            yield chunk

    async def checked(self, running_hash: RunningHash, before: bytes | None = None) -> AsyncGenerator[bytes]:
        """The body behind what `running_hash` has seen, hashed on its way. Raises WrongBytes, UpstreamBroken.

        Its end is held back until length and digest agree. `before`: the sha256 that those bytes of it have to have
        which were seen, where no digest tells in the end that they belong to the same file.
        """
        assert self._reply is not None, "opened before"
        held = b""
        known = running_hash.position - self.start
        repeated, looks = hashlib.sha256(), _Looks(self._reply, self._wanted, whole=self.start == 0)
        async for received in self._reply.chunks():
            looks.feed(received)
            repeated.update(received[:known])
            chunk, known = received[known:], max(known - len(received), 0)
            if chunk and before is not None:
                _same(before, repeated.digest())
                before = None
            running_hash.update(chunk)
            held += chunk
            if len(held) > 2 * HELD_BACK:
                looks.begins()
                yield held[:-HELD_BACK]
                held = held[-HELD_BACK:]
        if known or before is not None:
            _same(before or b"", repeated.digest())
        if self._wanted.length not in (None, running_hash.position):
            raise WrongBytes("Upstream sent a file of another length than the index promises.")
        looks.begins()
        looks.ends(running_hash.position)
        running_hash.check()
        if held:
            yield held

    async def close(self) -> None:
        """Let the connection go."""
        await self._stack.aclose()


class _Looks:
    """Whether the body of an answer looks like the file that it is called, where no digest tells."""

    def __init__(self, reply: Reply, wanted: Wanted, *, whole: bool) -> None:
        told = wanted.digest is not None
        self._wanted = wanted
        self._reply = reply
        self._coded = coded(reply) and not told and not wanted.text
        self._paged = told and whole and paged(reply, wanted)
        self._markup = whole and wanted.looked_at and not told
        self._head = b""
        self._shape = file_kinds.shape(wanted.name) if whole and not told and wanted.size is None else None
        self._measured = reply.size is not None

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        if (self._coded or self._paged or self._markup) and len(self._head) < file_kinds.HEAD:
            self._head += piece[: file_kinds.HEAD - len(self._head)]
        if self._shape is not None and not self._measured:
            self._shape.feed(piece)

    def begins(self) -> None:
        """Raise Coded where it is in a coding of its own, WrongBytes where it is a page."""
        if self._paged and (error := strange(self._reply, self._wanted, self._reply.size, self._head)) is not None:
            raise error
        if self._coded and not file_kinds.begins(self._wanted.name, self._head):
            raise Coded("Upstream sent a file in a content coding that was not asked for.")
        if self._markup and file_kinds.is_html(self._wanted.name, self._head):
            raise page_instead()

    def ends(self, size: int) -> None:
        """Raise WrongBytes where it is empty, or ends with its connection and is cut short."""
        if self._shape is not None and (not self._measured or not size) and not self._shape.whole():
            raise unlikely(self._wanted)


def _same(one: bytes, other: bytes) -> None:
    if one != other:
        raise UpstreamBroken("Upstream's file changed while it was being fetched; ask again.")
