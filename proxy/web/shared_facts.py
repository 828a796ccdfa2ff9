"""The facts of the page, gathered once in two seconds however many look: an open page costs who installs nothing.

Called by `api` and `own_pages`. It never keeps facts longer than that.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

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


def tag_of(body: bytes) -> str:
    """The ETag of an answer."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'
