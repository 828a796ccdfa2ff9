"""A body straight from upstream to one client: ranges of files that are not here, and files that the disk cannot take.

The whole of a file with a known digest is checked on its way, its end held back until then.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from http import HTTPStatus

from proxy.cache.digesting import Digesting
from proxy.cache.flight import HELD_BACK, Wanted
from proxy.errors import UpstreamBroken, WrongBytes
from proxy.model import Ask, Kind
from proxy.ports import Reply, Upstream

# Bytes of a part that is read for what is in it, and not for the file; it arrives whole, whoever reads it how slowly.
_SMALL = 512 << 10
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def refuse(reply: Reply, wanted: Wanted) -> None:
    """Raise WrongBytes or UpstreamBroken for an answer that by its head cannot be the file."""
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if wanted.binary and media_type in ("text/html", "application/xhtml+xml"):
        raise WrongBytes("Upstream sent an HTML page in place of the file (a login page, perhaps). Nothing was kept.")
    if reply.headers.get("content-encoding", "identity").lower() != "identity" and wanted.digest is None:
        raise UpstreamBroken("Upstream sent a file in a content coding that was not asked for.")


class Passage:
    """One request upstream, open until `close`. `start`, `end` and `size` are in bytes; `size` None: unknown."""

    def __init__(self, upstream: Upstream, wanted: Wanted) -> None:
        self.start = 0
        self.end: int | None = None
        self.size: int | None = None
        self.framed = False  # whether its end is told otherwise than by the end of the connection (RFC 9112 §6.3)
        self.content_type = ""
        self.url = wanted.url  # the address that answered, after redirects
        self.last_modified: str | None = None
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
        length = reply.headers.get("content-length", "")
        self.framed = bool(length) or "transfer-encoding" in reply.headers
        self.content_type = reply.headers.get("content-type", "")
        self.url = reply.url
        self.last_modified = reply.headers.get("last-modified")
        refuse(reply, wanted)
        if reply.status == HTTPStatus.OK and not ranged:
            self.size = self.end = int(length) if length.isdigit() else None
            if None not in (self.size, wanted.size) and self.size != wanted.size:
                raise WrongBytes("Upstream offers a file of another length than the index promises.")
            return
        match = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
        if reply.status != HTTPStatus.PARTIAL_CONTENT or match is None:
            raise UpstreamBroken("Upstream does not give parts of this file.")
        first, last, self.size = (int(group) for group in match.groups())
        if first != (start if start >= 0 else max(self.size + start, 0)) or (end is not None and last >= end):
            raise UpstreamBroken("Upstream answered another range than the one asked for.")
        self.start, self.end = first, last + 1

    @property
    def whole(self) -> bool:
        """Whether this is the file from its first byte to its last."""
        return self.start == 0 and self.end == self.size

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body. Raises WrongBytes before the end of a whole file that is not the promised one."""
        if self.whole:
            async for piece in self.checked(Digesting(self._wanted.digest)):
                yield piece
            return
        assert self._reply is not None, "opened before"
        async for chunk in self._reply.chunks():
            yield chunk

    async def checked(self, digesting: Digesting) -> AsyncGenerator[bytes]:
        """The body behind what `digesting` has seen, hashed on its way. Raises WrongBytes.

        Its end is held back until length and digest agree.
        """
        assert self._reply is not None, "opened before"
        held = b""
        known = digesting.position - self.start
        async for received in self._reply.chunks():
            chunk, known = received[known:], max(known - len(received), 0)
            digesting.update(chunk)
            held += chunk
            if len(held) > 2 * HELD_BACK:
                yield held[:-HELD_BACK]
                held = held[-HELD_BACK:]
        if self._wanted.size not in (None, digesting.position):
            raise WrongBytes("Upstream sent a file of another length than the index promises.")
        digesting.check()
        if held:
            yield held

    async def close(self) -> None:
        """Let the connection go."""
        await self._stack.aclose()
