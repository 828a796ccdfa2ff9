"""Making the index anew while the program runs, when SQLite finds that it is damaged.

The blobs are all known in memory, and so are the entries used lately; the others are asked for again upstream.
"""

from __future__ import annotations

import logging

from proxy.storage.entries import Entries
from proxy.storage.holdings import Holdings
from proxy.storage.proof import SYNCED_FROM

_log = logging.getLogger(__name__)


class Renewal:
    """Runs once at a time. Changed on the event loop only."""

    def __init__(self, holdings: Holdings, entries: Entries) -> None:
        self._index = holdings.index
        self._blobs = holdings.blobs
        self._threads = holdings.threads
        self._entries = entries
        self._under_way = False

    def due(self) -> bool:
        """Whether `run` is to be begun, now that damage was seen: once for all that see it."""
        begin, self._under_way = not self._under_way, True
        return begin

    async def run(self) -> None:
        """Put the damaged database aside and write down what is known. Raises StoreFull, StoreBroken."""
        _log.error("the index in the data folder is damaged and made anew")
        try:
            with self._entries.in_memory_only():
                self._index.close()  # the event loop's connection
                blobs = [
                    # What was not waited for on its way to the platter must be proved after the next start.
                    (record.value, record.size, record.stamp if record.size > SYNCED_FROM else None, record.used)
                    for record in self._blobs
                ]
                await self._threads.index(self._index.renew, blobs, self._entries.known())
        finally:
            self._under_way = False
