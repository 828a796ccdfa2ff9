"""Comparing kept files with what indexes promise of them, in whatever algorithm a digest is given.

Asked by `downloads` and by the services before a kept file is answered. A file is named by its sha256; in another
algorithm it is hashed once, and its entry keeps the result. Never asks upstream, and never drops a file.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

from proxy.cache.single_flight import SingleFlight
from proxy.cache.workers import Workers
from proxy.errors import BlobDamaged, StoreBroken, StoreError
from proxy.model import Blob, Digest, Entry
from proxy.ports import Store

_log = logging.getLogger(__name__)


class Comparing:
    """Compares. Mutable state: the files that are being hashed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._flights: SingleFlight[Digest] = SingleFlight()
        self._hashing = Workers("comparing", 2)

    async def right(self, entry: Entry, promised: Digest) -> bool:
        """Whether the file of `entry` has the digest that an index promises.

        Raises BlobDamaged, or StoreBroken, where it has to be read for that and cannot be.
        """
        known = entry.known(promised.algorithm)
        if known is None:
            known = await self._measured(entry, promised.algorithm)
            await self._note(replace(entry, promised=known, proved=entry.proved or known == promised), entry)
        return known == promised

    async def close(self) -> None:
        """Break off the hashing under way."""
        await self._flights.close()
        await self._hashing.close()

    async def _measured(self, entry: Entry, algorithm: str) -> Digest:
        blob = self._store.blob(entry.digest)
        if blob is None:
            raise BlobDamaged("The stored file is gone.")
        task, _ = self._flights.join(f"{entry.digest} {algorithm}", lambda: self._hash(blob, algorithm))
        return await self._flights.result(task)

    async def _hash(self, blob: Blob, algorithm: str) -> Digest:
        with self._store.lease(blob) as descriptor:
            return Digest(algorithm, await self._hashing.run(_hexdigest, descriptor, algorithm))

    async def _note(self, entry: Entry, before: Entry) -> None:
        if self._store.find(before.key) != before:
            return  # another file, or nothing, is there by now
        try:
            await self._store.save(entry)
        except StoreError as error:
            _log.debug("entry not kept", extra={"reason": str(error)})


def _hexdigest(descriptor: int, algorithm: str) -> str:
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise StoreBroken("Reading a stored file failed. Look at the disk.") from error
