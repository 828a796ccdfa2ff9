"""An upstream response whose head has arrived, and whose body is on its way: the `ports.Reply` of the client.

The client makes one for each head that it read. Chunks are passed on as they came off the connection; of a chunked
body those that have arrived are joined, since upstream may cut it into single bytes. Never decodes, and never ends a
body that its framing says is longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp

from proxy.errors import UpstreamBroken, UpstreamError
from proxy.events import Fetched, UpstreamFailed
from proxy.ports import Observer
from proxy.upstream import failures, response_head
from proxy.upstream.connections import DirectRead, detach_at_end, drop

_DRAIN = 64 << 10  # bytes of an unwanted body that are read so that its connection can be reused
_LONG = 256 << 10  # bytes that are worth taking over the connection
_DRAIN_TIME = 0.2  # seconds that this may take


class AiohttpReply:
    """See `ports.Reply`. `ended` is called once: with None when all of the body came, or with its failure."""

    def __init__(  # noqa: PLR0913, PLR0917 a response and its observers
        self,
        response: aiohttp.ClientResponse,
        mount: str,
        url: str,
        observer: Observer,
        ended: Callable[[UpstreamError | None], None],
        silence: float,
    ) -> None:
        """Raises UpstreamBroken for headers that cannot be relied on. `silence`: seconds that a body may stall."""
        self.status = response.status
        self.url = url
        self.headers = response_head.headers_of(response.raw_headers)
        self.part = response_head.part_of(self.status, self.headers)
        self.size = response_head.size_of(self.status, self.headers)
        self.validator = response_head.validator_of(self.headers)
        self._response = response
        self._mount = mount
        self._observer = observer
        self._ended: Callable[[UpstreamError | None], None] | None = ended
        self._chunked = "transfer-encoding" in self.headers
        self._left = None if self.part is None else self.part.end - self.part.start
        self._silence = silence
        self._direct: DirectRead | None = None
        self._buffered = b""  # read off the connection, but not yet by the reader
        self._begun = 0  # bytes read off the connection
        self._read_out = 0  # bytes of them that aiohttp had read
        length = self.headers.get("content-length", "")
        self._length = int(length) if length.isdigit() and not self._chunked else 0
        detach_at_end(response.content)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, once. Raises UpstreamBroken, UpstreamTimeout."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    # Not a generator: one that is left in the middle is finished by a task that nobody awaits.
    async def __anext__(self) -> bytes:
        try:
            chunk = await self._read()
        except failures.CAUGHT as error:
            # aiohttp keeps the exception: with its frames it would hold the reader's buffers.
            raise self._fail(failures.broken_off(error)) from error.with_traceback(None)
        self._count(len(chunk))
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def readinto(self, buffer: memoryview) -> int:
        """See `ports.Reply.readinto`. Raises UpstreamBroken, UpstreamTimeout."""
        try:
            size = await self._readinto(buffer)
        except failures.CAUGHT as error:
            raise self._fail(failures.broken_off(error)) from error.with_traceback(None)
        self._count(size)
        return size

    async def _readinto(self, buffer: memoryview) -> int:
        content = self._response.content
        if self._direct is None and not self._buffered:
            chunk = content.read_nowait() or b"" if not content.is_eof() else b""
            self._begun += len(chunk)
            left = self._length - self._begun
            if not chunk and left >= _LONG and self._response.connection is not None:
                self._direct = DirectRead(self._response, left, self._silence)
            else:
                self._buffered = chunk or await content.readany()
                self._begun += 0 if chunk else len(self._buffered)
        if self._direct is not None:
            size = await self._direct.readinto(buffer)
        else:
            size = min(len(self._buffered), len(buffer))
            buffer[:size], self._buffered = self._buffered[:size], self._buffered[size:]
        if size:
            self._read_out += 0 if self._direct is not None else size
            self._observer(Fetched(self._mount, size))
        return size

    async def drain(self) -> None:
        """Read a short unwanted body, so that its connection can be reused; else drop the connection."""
        left = _DRAIN
        try:
            async with asyncio.timeout(_DRAIN_TIME):
                while left > 0 and (chunk := await self._read()):
                    left -= len(chunk)
        except failures.CAUGHT:
            pass  # the head said all that is needed
        finally:
            self.close()

    def close(self) -> None:
        """Release the connection; see `drop`. What had arrived and nobody read was fetched all the same."""
        unread, self._read_out = self._response.content.total_bytes - self._read_out, self._response.content.total_bytes
        if unread > 0:
            self._observer(Fetched(self._mount, unread))
        drop(self._response)

    async def _read(self) -> bytes:
        """The next piece as it came, empty at the end."""
        content = self._response.content
        chunk = await content.readany() if self._chunked else (await content.readchunk())[0]
        if chunk:
            self._read_out += len(chunk)
            self._observer(Fetched(self._mount, len(chunk)))
        return chunk

    def _count(self, size: int) -> None:
        """Note that `size` bytes went to the reader; 0: all of the body did. Raises UpstreamBroken."""
        if self._left is not None:
            self._left -= size
            # A chunked 206 has no length that aiohttp could check.
            if self._left < 0 or (not size and self._left > 0):
                raise self._fail(UpstreamBroken("Upstream's part of a file has another length than it said."))
        if not size:
            self._end(None)

    def _fail(self, error: UpstreamError) -> UpstreamError:
        self._observer(UpstreamFailed(self._mount, error.reason))
        self._end(error)
        self.close()
        return error

    def _end(self, error: UpstreamError | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(error)
