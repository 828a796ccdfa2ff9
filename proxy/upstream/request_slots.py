"""How many requests may be under way at one host, and which one waits for its turn.

`pools` takes a slot for each request, before it looks for a connection. What waits here waits in the cache's own queue,
which says nothing of the host. Some slots are left to pages and metadata: they are small, and who resolves dependencies
waits for them. Fewer still are for bulk. Never opens a connection.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.errors import Crowded
from proxy.model import Kind, UpstreamRequest

_PATIENCE = 30.0  # seconds that a request waits for a slot


class Rank(enum.Enum):
    """How urgent a request is, the most urgent first."""

    URGENT = "urgent"  # a page, metadata
    PLAIN = "plain"  # a file that a client waits for
    BULK = "bulk"  # a further connection, or work ahead: it does not wait at all

    @classmethod
    def of(cls, request: UpstreamRequest) -> Rank:
        """The rank of a request."""
        if request.bulk:
            return cls.BULK
        return cls.PLAIN if request.kind in (Kind.FILE, Kind.OTHER) else cls.URGENT


# Requests under way at one host, up to which one of a rank may begin.
MOST = {Rank.URGENT: 256, Rank.PLAIN: 224, Rank.BULK: 160}


@dataclass(slots=True)
class _Turns:
    taken: int = 0
    waiting: dict[Rank, deque[asyncio.Future[None]]] = field(
        default_factory=lambda: {Rank.URGENT: deque(), Rank.PLAIN: deque()}
    )


class RequestSlots:
    """The slots of all hosts. Mutable state: those taken, and the requests that wait; idle hosts are forgotten."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        """`patience`: seconds that a request waits at most."""
        self._patience = patience
        self._hosts: dict[str, _Turns] = {}

    async def take(self, authority: str, rank: Rank) -> Callable[[], None]:
        """Take a slot at `host:port`. Gives the function that returns it, which may be called twice. Raises Crowded."""
        host = self._hosts.setdefault(authority, _Turns())
        if host.taken < MOST[rank] and not host.waiting.get(rank):
            host.taken += 1
        elif rank is Rank.BULK:
            raise _crowded()
        else:
            await self._wait(authority, host, rank)
        returned = False

        def give_back() -> None:
            nonlocal returned
            if not returned:
                returned = True
                self._leave(authority, host)

        return give_back

    async def _wait(self, authority: str, host: _Turns, rank: Rank) -> None:
        turn = asyncio.get_running_loop().create_future()
        host.waiting[rank].append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # the turn came too late
                self._leave(authority, host)
            elif turn in host.waiting[rank]:
                host.waiting[rank].remove(turn)
            if isinstance(error, TimeoutError):
                raise _crowded() from None
            raise

    def _leave(self, authority: str, host: _Turns) -> None:
        host.taken -= 1
        for rank, waiting in host.waiting.items():
            while waiting and host.taken < MOST[rank]:
                turn = waiting.popleft()
                if not turn.done():
                    host.taken += 1
                    turn.set_result(None)
        if not host.taken and not any(host.waiting.values()):
            self._hosts.pop(authority, None)


def _crowded() -> Crowded:
    return Crowded("This cache has as many requests under way to that host as it allows itself; try again later.")
