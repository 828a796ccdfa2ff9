"""Whole bodies in memory, such as index pages and Release files: bounded each, and all together.

`Bodies` reads what upstream sends, and takes off content codings by the rules of `content_coding`. `Budget` bounds the
memory of things whose size is known only when they are whole. Who wants more waits in turn. The largest never waits, so
that it comes to its end and gives back what it holds: the others together leave it room up to its limit. Small ones
have a part of their own, and do not wait behind large ones. Called on the event loop only.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from proxy.cache import content_coding
from proxy.cache.content_coding import Gunzip, Nature
from proxy.errors import TooLarge, UpstreamTimeout
from proxy.ports import Clock, Reply

_OWN = 16 << 20  # bytes that a caller may set as a bound of its own, whatever the limit is
_SLOW = 60.0  # seconds after which a body must have come with
_LEAST = 1000  # bytes a second: a slower one holds memory that others wait for
_SILENT = 300.0  # seconds without any of it, whatever else comes


class Claim:
    """The memory that one of them holds, in bytes."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0


def allowed(held: int, largest: int, together: int, more: int, limit: int) -> bool:
    """Whether a claim that holds `held` bytes may have `more`; none may have more than `limit`.

    `largest`: the bytes of the largest of the other claims. `together`: the bytes of all other claims. All but the
    largest have `limit` bytes together, and half of that is for small ones.
    """
    grown = held + more
    if grown >= largest:
        return together <= limit
    rest = together - largest + grown
    return rest <= limit if grown <= limit // 64 else rest <= limit // 2


class Budget:
    """Twice `limit` bytes for all claims. Mutable state: the claims, and those that wait, in order."""

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
        """Let `claim` hold `more` bytes, up to the limit in all; wait for them if need be."""
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
                self._give(claim, -more)  # it was granted in the same moment
                self._serve()
            raise

    def _serve(self) -> None:
        """Grant to those that wait, in order, what they may have now."""
        for turn, (claim, more) in list(self._waiting.items()):
            if self._allowed(claim, more, self._largest(claim)):
                del self._waiting[turn]
                self._give(claim, more)
                if not turn.done():  # else it was cancelled in the same moment, and gives the bytes back
                    turn.set_result(None)

    def _give(self, claim: Claim, more: int) -> None:
        claim.held += more
        self.held += more

    def _largest(self, claim: Claim) -> int:
        """The bytes of the largest of the other claims."""
        return max((other.held for other in self._claims if other is not claim), default=0)

    def _allowed(self, claim: Claim, more: int, largest: int) -> bool:
        return allowed(claim.held, largest, self.held - claim.held, more, self._limit)


class Bodies:
    """Reads bodies. Mutable state: the memory that bodies under way hold."""

    def __init__(self, clock: Clock, limit: int, silence: float = _SILENT) -> None:
        """`limit`: the most bytes of a body, as sent and decoded; all together have twice that, or 32 MiB.

        `silence`: seconds that a body may take for its next byte.
        """
        self.budget = Budget(max(limit, _OWN))
        self._clock = clock
        self._limit = limit
        self._silence = silence

    @asynccontextmanager
    async def whole(
        self, reply: Reply, url: str, *, text: bool = False, most: int | None = None
    ) -> AsyncIterator[bytes]:
        """The document that a 200 holds; its memory counts until the end of the block.

        `url`: the address of the request. `text`: whatever its name, it is not gzip itself. `most`: its bound in bytes,
        in place of the limit. Raises TooLarge, UpstreamBroken, UpstreamTimeout.
        """
        bound = self._limit if most is None else most
        with self.budget.claim() as claim:
            yield await self._received(reply, _Unpacking(self.budget, claim, bound, _rule(reply, url, text=text)))

    async def _received(self, reply: Reply, unpacking: _Unpacking) -> bytes:
        waited, since = 0.0, self._clock.monotonic()
        chunks = aiter(reply.chunks())
        while (chunk := await self._next(chunks)) is not None:
            waited += self._clock.monotonic() - since
            await unpacking.add(chunk)
            if unpacking.received < (waited - _SLOW) * _LEAST:
                raise UpstreamTimeout("Upstream sends a document too slowly to wait for its end.")
            since = self._clock.monotonic()
        return await unpacking.end()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """The next piece; None at the end.

        Limits of sockets do not see whether what arrives is of the body: extensions of chunks and trailers are not.
        """
        try:
            async with asyncio.timeout(self._silence):
                return await anext(chunks, None)
        except TimeoutError:
            raise UpstreamTimeout("Upstream sent nothing of a document for too long. Try again later.") from None


class _Unpacking:
    """One body on its way. `rule`: how many layers of gzip are to be removed, by its first bytes; None: none."""

    def __init__(self, budget: Budget, claim: Claim, most: int, rule: Callable[[bytes], int] | None) -> None:
        self.received = 0
        self._budget = budget
        self._claim = claim
        self._most = most
        self._rule = rule
        self._head = b""  # until the rule has decided
        self._layers: list[Gunzip] = []
        # Grows in place, and its value is no copy: joining parts would take their memory twice.
        self._whole = io.BytesIO()

    async def add(self, chunk: bytes) -> None:
        """Take more bytes."""
        self.received += len(chunk)
        self._refuse(self.received)
        if self._rule is not None:
            self._head += chunk
            if len(self._head) < content_coding.LOOKED_AT:
                return
            chunk = self._decide(self._rule)
        await self._unpack(chunk)

    async def end(self) -> bytes:
        """The document, now that all of it is here."""
        if self._rule is not None:
            await self._unpack(self._decide(self._rule))
        for layer in self._layers:
            layer.end()
        return self._whole.getvalue()

    def _decide(self, rule: Callable[[bytes], int]) -> bytes:
        head, self._head, self._rule = self._head, b"", None
        self._layers = [Gunzip() for _ in range(rule(head))]
        return head

    async def _unpack(self, chunk: bytes) -> None:
        for piece in content_coding.through(self._layers, chunk):
            self._refuse(self._whole.tell() + len(piece))
            await self._budget.grow(self._claim, len(piece))
            self._whole.write(piece)
            if self._layers:
                await asyncio.sleep(0)  # a few bytes may become megabytes

    def _refuse(self, size: int) -> None:
        if size > self._most:
            raise TooLarge(f"Upstream's document is larger than {self._most} bytes; raise page_limit to allow it.")


def _rule(reply: Reply, url: str, *, text: bool) -> Callable[[bytes], int] | None:
    field, urls = reply.headers.get("content-encoding"), (url, reply.url)
    if not field:
        return None
    what = Nature.TEXT if text else content_coding.nature(urls, reply.headers.get("content-type", ""))
    return lambda head: content_coding.layers(field, what, urls, head)
