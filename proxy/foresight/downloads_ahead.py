"""The files that a client downloads next: when it asks for the first of those that it chose, the others follow.

In the order in which it took their metadata, as far as there is room, and large ones while it waits for none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from itertools import islice

from proxy.cache.flight import Flight
from proxy.errors import PullthroughError
from proxy.foresight.background import Background
from proxy.foresight.installs import Install
from proxy.foresight.requests_ahead import RequestsAhead
from proxy.model import Kind, Target
from proxy.python.outlook import Outlook

_FILES = 4  # at once, of one client
_NEXT = 32  # files of one client that are looked at
_SMALL = 8 << 20  # bytes of a file that need not wait until clients wait for none


class DownloadsAhead:
    """Has files here before they are asked for. It has no state of its own: that of each client is in its install."""

    def __init__(
        self,
        outlook: Outlook,
        ahead: RequestsAhead,
        background: Background,
        most: int,
        ended: Callable[[str, Install], None] = lambda _, __: None,
    ) -> None:
        """`most`: bytes of files that a client did not ask for yet. `ended` is told when a file's way has ended."""
        self._outlook = outlook
        self._ahead = ahead
        self._background = background
        self._most = most
        self._ended = ended

    def begun(self, client: str, install: Install, flight: Flight | None) -> None:
        """A client asked for a file that it chose. `flight`: its download, if it is not here."""
        if flight is not None:
            self._background.begin(self._until_here(client, install, flight))
        self._background.begin(self._next(client, install))

    def waits(self, client: str, install: Install, flight: Flight) -> None:
        """A client waits for a file from which nothing follows, such as a source distribution that it looks into."""
        self._background.begin(self._on_its_way(client, install, flight))

    async def _until_here(self, client: str, install: Install, flight: Flight) -> None:
        """A file that the client waits for is on its way: when it is here, its line is free for others."""
        await self._on_its_way(client, install, flight)
        await self._next(client, install)

    async def _on_its_way(self, client: str, install: Install, flight: Flight) -> None:
        install.downloading += 1
        try:
            with contextlib.suppress(PullthroughError):
                await flight.ended()
        finally:
            install.downloading -= 1
            self._ended(client, install)

    async def _next(self, client: str, install: Install) -> None:
        """Fetch what the client will download next, as far as there is room.

        uv asks for dozens of files at once: one look is for all that came before it began.
        """
        install.look_again = True
        if install.looking:
            return
        install.looking = True
        try:
            while install.look_again:
                await asyncio.sleep(0)
                install.look_again = False
                await self._look(client, install)
        finally:
            install.looking = False

    async def _look(self, client: str, install: Install) -> None:
        waiting = (wheel for wheel in tuple(install.taken) if wheel not in install.ahead)
        for wheel in islice(waiting, _NEXT):
            # uv asks for dozens of files at once: it needs no help.
            if install.files >= _FILES or install.downloading > _FILES:
                return
            prospect = await self._outlook.prospect(wheel)
            size = prospect.size
            if prospect.here or size is None:
                install.ahead.setdefault(wheel, 0)  # it takes no room, and is not looked at again
            if wheel in install.ahead or wheel not in install.taken or not prospect.free or size is None:
                continue
            if install.files >= _FILES or install.bytes_ahead + size > self._most:
                continue
            if size > _SMALL and (install.files or install.downloading or not self._outlook.idle):
                continue
            if not self._background.begin(self._fetch(client, install, wheel)):
                return
            install.files += 1
            install.ahead[wheel] = size

    async def _fetch(self, client: str, install: Install, wheel: Target) -> None:
        """Fetch a file, and then the next ones."""
        try:
            answer = await self._ahead.ask(client, install, wheel, Kind.FILE)
            if wheel in install.ahead and answer is None:
                install.ahead[wheel] = 0  # it takes no room, and is not tried again
            elif wheel in install.ahead and answer is not None and answer.size is not None:
                install.ahead[wheel] = answer.size  # whatever its page said
        finally:
            install.files -= 1
            self._ended(client, install)
        await self._next(client, install)
