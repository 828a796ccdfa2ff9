"""Stored files: found by address or by digest, compared with what an index promises, and recorded when they came.

A stored file is named by its sha256. In another algorithm it is hashed once, and its entry keeps the result.
`downloads` and the services ask before a stored file is sent. Never asks upstream, and never drops a file.
"""

from __future__ import annotations

import hashlib
import logging

from msgspec import structs

from proxy.cache.flight import WantedFile
from proxy.cache.single_flight import SingleFlight
from proxy.cache.workers import Workers
from proxy.errors import BlobDamaged, StoreBroken, StoreError
from proxy.model import Blob, Digest, Entry, Validator
from proxy.ports import Clock, Store

_log = logging.getLogger(__name__)


class StoredFiles:
    """Finds, compares and records. Mutable state: the files that are being hashed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._flights: SingleFlight[Digest] = SingleFlight()
        self._hashing = Workers("comparing", 2)

    async def find(self, wanted: WantedFile, validator: Validator | None = None) -> Blob | None:
        """The stored file, under its address or, by its digest, under any other.

        `validator`: of a download that is about to record the file, whose blob is in the store already.
        """
        if wanted.renew:
            return None
        entry, digest = self._store.find(wanted.key), wanted.digest
        if digest is None:
            return self._store.blob(entry.digest) if entry is not None else None
        if entry is not None and await self.matches(entry, digest):
            return self._store.blob(entry.digest)
        blob = self._named(digest)
        if blob is not None:
            await self._store.save(self._entry(wanted, blob, validator or Validator()))
        return blob

    async def matches(self, entry: Entry, promised: Digest) -> bool:
        """Whether the file of `entry` has the digest that an index promises. A file that cannot be read has not."""
        known = entry.known(promised.algorithm)
        if known is None:
            try:
                known = await self._measured(entry, promised.algorithm)
            except StoreError as error:
                _log.warning("stored file not compared", extra={"reason": str(error)})
                return False
            if self._store.find(entry.key) == entry:  # else another file, or nothing, is there by now
                await self._store.save(structs.replace(entry, promised=known, proved=entry.proved or known == promised))
        return known == promised

    async def record(self, wanted: WantedFile, blob: Blob, validator: Validator) -> None:
        """Write down that the wanted file is stored; `validator` is what upstream gave with it."""
        entry, digest = self._entry(wanted, blob, validator), wanted.digest
        await self._store.save(entry)
        if digest is not None and digest.strong and digest.algorithm != "sha256":
            await self._store.save(structs.replace(entry, key=_digest_key(digest)))

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

    def _named(self, digest: Digest) -> Blob | None:
        """The stored file of a digest, whatever its address."""
        if digest.algorithm == "sha256":
            return self._store.blob(digest)
        named = self._store.find(_digest_key(digest)) if digest.strong else None
        return self._store.blob(named.digest) if named is not None else None

    def _entry(self, wanted: WantedFile, blob: Blob, validator: Validator) -> Entry:
        now = self._clock.now()
        return Entry(
            wanted.key,
            wanted.url,
            blob.digest,
            blob.size,
            "application/octet-stream",
            validator,
            now,
            now,
            wanted.digest,
            wanted.proved,
        )


def is_stored(digest: Digest, store: Store) -> bool:
    """Whether a file with this digest is stored, whatever its address. No use is noted."""
    if digest.algorithm == "sha256":
        return store.has(digest)
    named = store.find(_digest_key(digest)) if digest.strong else None
    return named is not None and store.has(named.digest)


def _digest_key(digest: Digest) -> str:
    """The store's key of a file by a digest other than the one that names blobs."""
    return f"digest:{digest}"


def _hexdigest(descriptor: int, algorithm: str) -> str:
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise StoreBroken("Reading a stored file failed. Look at the disk.") from error
