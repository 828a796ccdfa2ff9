"""How blobs go: out of the picture at once, then their rows with all entries that name them, then their files.

In this order a kill leaves a file without a row at worst, which the next start takes in. Only where the index cannot be
written, files go before their rows: their room is needed now. The next start notices rows without a file.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from proxy.storage import places
from proxy.storage.blobs import Record
from proxy.storage.changes import Dropped
from proxy.storage.holdings import Holdings
from proxy.storage.spool_folder import remove

_PATIENCE = 0.5  # seconds that a deletion waits for the index


class Dropping:
    """Drops blobs. Called on the event loop."""

    def __init__(self, holdings: Holdings, tell: Callable[[], None]) -> None:
        """`tell` is called when the picture changed."""
        self._holdings = holdings
        self._tell = tell

    def drop(self, record: Record) -> Coroutine[Any, Any, None] | None:
        """Forget a blob, here and now; what is given, if it was here, deletes it from the disk: it is to be awaited."""
        if not self._holdings.blobs.remove(record):
            return None
        return self.delete((record,), ())

    def delete(self, records: Sequence[Record], downloads: Sequence[str]) -> Coroutine[Any, Any, None]:
        """Delete blobs that the picture has no more, and left-over downloads; to be awaited."""
        self._tell()
        values = tuple(record.value for record in records)
        number = self._holdings.backlog.add(Dropped(values)) if values else 0
        return self._gone(number, values, downloads, self._holdings.places.take(values))

    async def _gone(
        self, number: int, values: Sequence[str], downloads: Sequence[str], release: Callable[[], None]
    ) -> None:
        folder, threads = self._holdings.folder, self._holdings.threads
        try:
            if downloads:
                await threads.files(remove, folder.spool, downloads)
            await self._holdings.backlog.written(number, _PATIENCE)
            if values:
                await threads.files(places.delete, [folder.blob(value) for value in values])
        finally:
            release()
