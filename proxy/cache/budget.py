"""Memory for things whose size is known only when they are whole, such as index pages: bounded each, and together.

Whoever wants more waits in turn. The largest never waits, so that it comes to its end and gives back what it holds:
the others together leave it room up to its bound. Small ones have a part to themselves, and do not wait behind large
ones. A pure rule, `allowed`, and a queue. Called on the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Claim:
    """What one of them holds, in bytes."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0


def allowed(held: int, largest: int, together: int, more: int, limit: int) -> bool:
    """Whether one that holds `held` bytes may have `more`; none has more than `limit`.

    `largest`: what the largest of the others holds. `together`: what all others hold. All but the largest have `limit`
    bytes together, and half of that is for those that are small.
    """
    grown = held + more
    if grown >= largest:
        return together <= limit
    rest = together - largest + grown
    return rest <= limit if grown <= limit // 64 else rest <= limit // 2


class Budget:
    """Twice `limit` bytes for all. Mutable state: the claims, and who waits, in order."""

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit
        self._claims: set[Claim] = set()
        self._waiting: dict[asyncio.Future[None], tuple[Claim, int]] = {}

    @contextmanager
    def claim(self) -> Iterator[Claim]:
        """Hold memory until the end of the block; nothing at first."""
        claim = Claim()
        self._claims.add(claim)
        try:
            yield claim
        finally:
            self._claims.remove(claim)
            self.held -= claim.held
            self._serve()

    async def grow(self, claim: Claim, more: int) -> None:
        """Let `claim` hold `more` bytes, which together are at most the limit; wait for them if need be."""
        largest = self._largest(claim)
        if (claim.held + more >= largest or not self._waiting) and self._allowed(claim, more, largest):
            self._give(claim, more)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = claim, more
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if self._waiting.pop(turn, None) is None:
                self._give(claim, -more)  # it was given in the same moment
                self._serve()
            raise

    def _serve(self) -> None:
        """Give to those who wait, in order, what they may have now."""
        for turn, (claim, more) in list(self._waiting.items()):
            if self._allowed(claim, more, self._largest(claim)):
                del self._waiting[turn]
                self._give(claim, more)
                if not turn.done():  # else it was cancelled in the same moment, and gives this back
                    turn.set_result(None)

    def _give(self, claim: Claim, more: int) -> None:
        claim.held += more
        self.held += more

    def _largest(self, claim: Claim) -> int:
        """What the largest of the others holds."""
        return max((other.held for other in self._claims if other is not claim), default=0)

    def _allowed(self, claim: Claim, more: int, largest: int) -> bool:
        return allowed(claim.held, largest, self.held - claim.held, more, self._limit)
