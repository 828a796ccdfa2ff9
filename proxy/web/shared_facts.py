"""The facts of the page, gathered once in two seconds however many look: an open page costs who installs nothing.

Called by `api` and `own_pages`. It never keeps facts longer than that. For as long, `replay` gives the same answer to
all who ask in the same way.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import web

from proxy.status import Now

_LIFE = 2.0  # seconds, after which the page looks again
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts, and what they are as JSON. `tag`: a validator (RFC 9110 §8.8.3)."""

    now: Now
    body: bytes
    tag: str

    @classmethod
    def of(cls, now: Now) -> Facts:
        """Encode them."""
        body = _encode(now)
        return cls(now, body, tag_of(body))


class SharedAnswer(web.Response):
    """An answer that is made of facts. `stands`: whether whoever asks in the same way may have it, too."""

    def __init__(self, status: int, body: bytes | None, headers: Mapping[str, str], stands: Callable[[], bool]) -> None:
        super().__init__(status=status, body=body, headers=headers)
        self.stands = stands

    @classmethod
    def of(
        cls, request: web.BaseRequest, body: bytes, tag: str, headers: Mapping[str, str], stands: Callable[[], bool]
    ) -> SharedAnswer:
        """A body with its validator `tag` (RFC 9110 §8.8.3), or 304 for who has it."""
        headers = {**headers, "ETag": tag}
        if tag in request.headers.get("If-None-Match", ""):
            return cls(HTTPStatus.NOT_MODIFIED, None, headers, stands)
        return cls(HTTPStatus.OK, body, headers, stands)


class SharedFacts:
    """Mutable state: the last facts, on the event loop only."""

    def __init__(self, gather: Callable[[], Awaitable[Now]]) -> None:
        self._gather = gather
        self._gathering = asyncio.Lock()
        self._facts: Facts | None = None
        self._until = 0.0

    async def get(self) -> Facts:
        """The facts, two seconds old at most. The same object as long as they are the same."""
        now = asyncio.get_running_loop().time
        async with self._gathering:
            if self._facts is None or self._until <= now():
                facts = Facts.of(await self._gather())
                if self._facts is None or facts.tag != self._facts.tag:
                    self._facts = facts
                self._until = now() + _LIFE
            return self._facts

    def are(self, facts: Facts) -> bool:
        """Whether who asks now gets these facts, too, without a further look."""
        return facts is self._facts and asyncio.get_running_loop().time() < self._until


def tag_of(body: bytes) -> str:
    """The ETag of an answer."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'
