"""Files without a manifest, taken into a store: kept by their sha256, as bodies without an address.

Nothing says what they are, and nothing needs to: once a page or an index of an archive gives a file a sha256, the
store has it by that name, and it is not downloaded. What no index lists is never asked for, and is evicted in its turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from proxy.bundles.importing import Imported
from proxy.bundles.intake import Intake, Sha256
from proxy.bundles.tar_file import RangeOf, nowhere
from proxy.bundles.tar_stream import Began, Ended, TarStream
from proxy.cache.workers import Workers
from proxy.errors import StoreFull
from proxy.model import Digest
from proxy.ports import Store


class LooseImport:
    """Takes in the regular files of one tar, whatever they are called."""

    def __init__(self, store: Store, limit: int) -> None:
        """`limit`: bytes that the store may hold."""
        self._store = store
        self._limit = limit
        self._hashing = Workers("importing", 2)
        self._files = self._size = self._here = 0

    async def run(self, pieces: AsyncIterator[bytes], range_of: RangeOf = nowhere) -> Imported:
        """Take in what these bytes bring, and the bodies that `range_of` gives in place of some of them.

        Raises BadBundle, StoreError, and what `pieces` raises. Whatever it raises, what was stored before is whole, and
        nothing else is left.
        """
        tar = TarStream(loose=True)
        intake, hashes, size = None, Sha256(), 0
        try:
            async for data in pieces:
                for event in tar.feed(data):
                    match event:
                        case Began(path=path, size=size, position=position):
                            hashes = Sha256()
                            self._refuse_too_much(size)
                            intake = Intake(self._store, self._hashing, hashes, size, f"loose:{path}")
                            if intake.take(range_of, position):
                                tar.skip()
                        case Ended():
                            assert intake is not None, "it began"
                            await self._finish(intake, hashes, size)
                            intake = None
                        case piece:
                            assert intake is not None, "it began"
                            await intake.write(piece)
            tar.finish()
        finally:
            if intake is not None:
                await intake.close()
            await self._hashing.close()
        return Imported(self._files, self._size, self._here)

    def _refuse_too_much(self, size: int) -> None:
        if self._size + size > self._limit:
            raise StoreFull(
                f"There is more than the {self._limit:,} bytes that the cache holds at most. Give it more with --disk."
            )

    async def _finish(self, intake: Intake, hashes: Sha256, size: int) -> None:
        try:
            await intake.end()
            if self._store.blob(Digest("sha256", hashes.value)) is not None:
                self._here += 1
                return
            await intake.adopt(hashes.value)
            self._files += 1
            self._size += size
        finally:
            await intake.close()
