"""What verbs have taken into a store: bundles, and files of other programs. On the event loop of the store.

Called by `server` for a running cache, and by `opened_folder` for one that does not run. What came is served at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from proxy.bundles.addresses import Learn
from proxy.bundles.importing import Import, Imported, ImportWish
from proxy.bundles.loose_files import LooseImport
from proxy.bundles.tar_file import RangeOf, nowhere
from proxy.control.protocol import ControlError
from proxy.ports import Clock
from proxy.storage.store import DiskStore


class Importer:
    """Takes in one after another. Errors of the disk are StoreError, those of what came BadBundle."""

    def __init__(
        self,
        store: DiskStore,
        clock: Clock,
        forget: Callable[[], None] = lambda: None,
        imported: Callable[[], None] = lambda: None,
        learn: Learn | None = None,
    ) -> None:
        """`forget`: drops answers that are ready to send; `imported`: has those who remember indexes look again.

        `learn`: from index pages that come in place of others.
        """
        self._learn = learn
        self._store = store
        self._clock = clock
        self._forget = forget
        self._imported = imported
        self._turn = asyncio.Lock()

    async def take_in(self, pieces: AsyncIterator[bytes], wish: ImportWish, range_of: RangeOf = nowhere) -> Imported:
        """Take in the tar that these bytes are, and those that `range_of` gives.

        Raises ControlError: another one is taken in, or it breaks off.
        """
        if self._turn.locked():
            raise ControlError("Another import is under way. Wait until it has ended.")
        async with self._turn:
            store, limit = self._store, int(self._store.inventory.limit)
            taking = (
                LooseImport(store, limit)
                if wish.loose
                else Import(store, self._clock, limit, replace_newer=wish.replace_newer, learn=self._learn)
            )
            try:
                return await taking.run(pieces, range_of)
            except ConnectionError as error:
                raise ControlError("The tar did not come to its end: who sent it is gone.") from error
            finally:
                self._forget()
                self._imported()
