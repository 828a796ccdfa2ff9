"""Resolves host names with the system's resolver, in threads of their own.

The connector asks it through the guard. Only the system's resolver can end a look-up that hangs, which may take half a
minute. So each look-up has a thread of its own, there are more of them than a name service has time to hang, and names
that were found before need not queue with made-up ones. Answers are not remembered here: the connector does it, for
seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.bounded import Bounded

_THREADS = 96  # look-ups at once
_RESERVE = 32  # more, for names that were found before
_KNOWN = 1024  # names remembered as found
_OF_ONE_NAME = 2  # look-ups of one name at once: the second when the first seems to hang

_Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, _Address]
_Key = tuple[str, socket.AddressFamily]


@dataclass(frozen=True, slots=True, eq=False)
class _LookUp:
    """A look-up under way. `since`: in seconds of the loop's clock."""

    key: _Key
    since: float
    slot: asyncio.Semaphore
    found: asyncio.Future[Sequence[_Found]]


def system_look_up(host: str, family: socket.AddressFamily) -> Sequence[_Found]:
    """What the system's resolver says of a name. Blocks. Raises OSError (socket.gaierror)."""
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)


class SystemResolver(AbstractResolver):
    """`getaddrinfo` off the event loop. Mutable state: the look-ups under way, and the names that were found."""

    def __init__(
        self,
        limit: float = 10.0,
        look_up: Callable[[str, socket.AddressFamily], Sequence[_Found]] = system_look_up,
    ) -> None:
        """`limit`: seconds that a request waits for a name."""
        self._limit = limit
        self._look_up = look_up
        self._slots = asyncio.Semaphore(_THREADS)
        self._reserve = asyncio.Semaphore(_RESERVE)
        self._latest: dict[_Key, _LookUp] = {}
        self._running: Counter[_Key] = Counter()
        self._known: Bounded[str, None] = Bounded(_KNOWN)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of `host` for TCP. Raises OSError (socket.gaierror), TimeoutError after the limit."""
        async with asyncio.timeout(self._limit):
            look_up = self._joined((host, family))
            if look_up is None:
                slot = self._reserve if host in self._known and not self._reserve.locked() else self._slots
                await slot.acquire()
                look_up = self._joined((host, family))  # another request may have begun one meanwhile
                if look_up is None:
                    look_up = self._begin((host, family), slot)
                else:
                    slot.release()
            found = await asyncio.shield(look_up.found)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing to do: threads of look-ups that hang do not keep the process alive."""

    def _joined(self, key: _Key) -> _LookUp | None:
        """The look-up of this name that is under way; None if it hangs, and another one may do better."""
        latest = self._latest.get(key)
        if latest is None or self._running[key] >= _OF_ONE_NAME:
            return latest
        return latest if asyncio.get_running_loop().time() - latest.since < self._limit else None

    def _begin(self, key: _Key, slot: asyncio.Semaphore) -> _LookUp:
        loop = asyncio.get_running_loop()
        look_up = _LookUp(key, loop.time(), slot, loop.create_future())
        look_up.found.add_done_callback(_seen)

        def work() -> None:
            found: Sequence[_Found] | Exception
            try:
                found = self._look_up(*key)
            except UnicodeError:  # of a part of the name that is longer than names can have (RFC 1035 §2.3.4)
                found = socket.gaierror(socket.EAI_NONAME, "no such name can be")
            except Exception as error:  # noqa: BLE001 those who wait get it
                found = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._end, look_up, found)

        try:
            threading.Thread(target=work, name="names", daemon=True).start()
        except RuntimeError as error:
            slot.release()
            raise OSError(errno.EAGAIN, "There is no thread left to look a name up.") from error
        self._latest[key] = look_up
        self._running[key] += 1
        return look_up

    def _end(self, look_up: _LookUp, found: Sequence[_Found] | Exception) -> None:
        look_up.slot.release()
        self._running[look_up.key] -= 1
        if not self._running[look_up.key]:
            del self._running[look_up.key]
        if self._latest.get(look_up.key) is look_up:
            del self._latest[look_up.key]
        if isinstance(found, Exception):
            look_up.found.set_exception(found)
            return
        look_up.found.set_result(found)
        self._known[look_up.key[0]] = None


def _seen(found: asyncio.Future[Sequence[_Found]]) -> None:
    """Mark a failure as retrieved: those who waited may be gone."""
    if not found.cancelled():
        found.exception()
