"""Keeping: stored files found by address or digest, and what is written down of one that came.

`downloads` asks before it fetches, and tells when a file was adopted. Never fetches.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace

from proxy.cache.comparing import Comparing
from proxy.cache.flight import Wanted
from proxy.errors import StoreError
from proxy.model import Blob, Digest, Entry, Validator
from proxy.ports import Clock, Store

_log = logging.getLogger(__name__)


class Keeping:
    """Finds stored files. It has no state of its own."""

    def __init__(self, store: Store, comparing: Comparing, clock: Clock) -> None:
        self._store = store
        self._comparing = comparing
        self._clock = clock

    async def find(self, wanted: Wanted, validator: Validator | None = None) -> Blob | None:
        """The stored file, under its address or, by its digest, under any other.

        `validator`: of a download that is about to note the file, whose blob is in the store already.
        """
        if wanted.renew:
            return None
        entry, digest = self._store.find(wanted.key), wanted.digest
        if digest is None:
            return self._store.blob(entry.digest) if entry is not None else None
        with contextlib.suppress(StoreError):  # what cannot be compared is fetched
            if entry is not None and await self._comparing.right(entry, digest):
                return self._store.blob(entry.digest)
        blob = self._named(digest)
        if blob is not None:
            await self._save(self._entry(wanted, blob, validator or Validator()))
        return blob

    async def note(self, wanted: Wanted, blob: Blob, validator: Validator) -> None:
        """Write down that the file which is wanted is here; `validator` is what upstream gave with it."""
        entry, digest = self._entry(wanted, blob, validator), wanted.digest
        await self._save(entry)
        if digest is not None and digest.strong and digest.algorithm != "sha256":
            await self._save(replace(entry, key=_digest_key(digest)))

    def _named(self, digest: Digest) -> Blob | None:
        """The stored file of a digest, whatever its address."""
        if digest.algorithm == "sha256":
            return self._store.blob(digest)
        named = self._store.find(_digest_key(digest)) if digest.strong else None
        return self._store.blob(named.digest) if named is not None else None

    def _entry(self, wanted: Wanted, blob: Blob, validator: Validator) -> Entry:
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

    async def _save(self, entry: Entry) -> None:
        try:
            await self._store.save(entry)
        except StoreError as error:
            _log.debug("entry not kept", extra={"reason": str(error)})


def _digest_key(digest: Digest) -> str:
    """The store's key of a file by a digest other than the one that names blobs."""
    return f"digest:{digest}"
