"""What a verb hears while a running cache works for it: lines of JSON, one for each message. Called by `server`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import msgspec
from aiohttp import web

from proxy.control.protocol import Message, Progress, Refusal
from proxy.errors import StoreError

_LINES = "application/jsonl"
_SIGN_OF_LIFE = 5.0  # seconds between two lines of progress, at most: a verb waits much longer


async def streamed(request: web.Request, messages: AsyncGenerator[Message]) -> web.StreamResponse:
    """Send messages as they come, a line each. A client that is gone ends the work."""
    response = web.StreamResponse(headers={"Content-Type": _LINES})
    async with aclosing(messages):
        await response.prepare(request)
        lines = _ProgressLines(response)
        with contextlib.suppress(ConnectionError):
            async with lines.repeated():
                try:
                    async for message in messages:
                        await lines.write(message)
                except StoreError as error:
                    await lines.write(Refusal(str(error)))
            await response.write_eof()
    return response


class _ProgressLines:
    """The lines of an answer. Mutable state: the last progress, and whether anything was sent since the last look."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._progress: Message = Progress(0, 0)
        self._silent = False

    async def write(self, message: Message) -> None:
        """Send a line. Raises ConnectionError."""
        if isinstance(message, Progress):
            self._progress = message
        self._silent = False
        await self._response.write(msgspec.json.encode(message) + b"\n")

    @asynccontextmanager
    async def repeated(self) -> AsyncGenerator[None]:
        """Meanwhile the last progress is sent again where a step takes long: a verb gives up what says nothing."""
        repeating = asyncio.create_task(self._repeat(), name="progress")
        try:
            yield
        finally:
            repeating.cancel()
            await asyncio.gather(repeating, return_exceptions=True)

    async def _repeat(self) -> None:
        while True:
            self._silent = True
            await asyncio.sleep(_SIGN_OF_LIFE)
            if self._silent:
                await self.write(self._progress)
