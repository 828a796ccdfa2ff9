"""The store of a start on a disk that is full, read-only or failing: nothing is kept until the folder can be opened.

Built by `app` through `open_store`. The program serves past it meanwhile, says so once, loudly, and in `/healthz`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from proxy.errors import BlobDamaged, StoreError, StoreRefused
from proxy.model import Blob, Digest, Entry
from proxy.ports import Clock, Observer, Spool
from proxy.storage.store import DiskStore

_log = logging.getLogger(__name__)

_AGAIN = 5.0  # seconds between two tries to open the folder
_LATE = "the data folder cannot be used now: all is served past it, and nothing is kept"


class LateStore:
    """See `ports.Store`. Mutable state: the real store, once it could be opened, to which everything then goes."""

    def __init__(self, opening: Callable[[], Awaitable[DiskStore]], failure: StoreError) -> None:
        """`opening` opens the real store; `failure` is what kept it from that the last time."""
        self.store: DiskStore | None = None
        self._opening = opening
        self._failures = 0
        self._failure = failure.again()
        self._again = asyncio.Event()
        self._closing = False
        self._task = asyncio.get_running_loop().create_task(self._open(), name="late store")

    @property
    def healthy(self) -> bool:
        """False until the folder is open; then as the real store says."""
        return self.store is not None and self.store.healthy

    @property
    def failures(self) -> int:
        """How many reads and writes failed so far."""
        return self._failures + (self.store.failures if self.store is not None else 0)

    def find(self, key: str) -> Entry | None:
        return None if self.store is None else self.store.find(key)

    def keys(self, prefix: str) -> Sequence[str]:
        return [] if self.store is None else self.store.keys(prefix)

    async def save(self, entry: Entry) -> bool:
        return self.store is not None and await self.store.save(entry)

    async def forget(self, key: str) -> None:
        if self.store is not None:
            await self.store.forget(key)

    def blob(self, digest: Digest) -> Blob | None:
        return None if self.store is None else self.store.blob(digest)

    def lease(self, blob: Blob) -> AbstractContextManager[int]:
        if self.store is None:
            raise BlobDamaged("The file is not stored any more.")
        return self.store.lease(blob)

    def recheck(self, blob: Blob) -> None:
        if self.store is not None:
            self.store.recheck(blob)

    async def spool(self, name: str, size: int | None) -> Spool:
        if self.store is None:
            self._failures += 1
            raise self._failure.again()
        return await self.store.spool(name, size)

    async def adopt(self, spool: Spool, digest: Digest, size: int) -> Blob | None:
        assert self.store is not None, "it made the spool file"
        return await self.store.adopt(spool, digest, size)

    async def put(self, body: bytes) -> Blob | None:
        if self.store is None:
            self._failures += 1
            return None
        return await self.store.put(body)

    async def close(self) -> None:
        """Stop trying, or close the real store."""
        self._closing = True
        self.try_again()
        await self._task  # not cancelled: what is half open would be left behind
        if self.store is not None:
            await self.store.close()

    def try_again(self) -> None:
        """The folder may be usable now."""
        self._again.set()

    async def _open(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN):
                    await self._again.wait()
            self._again.clear()
            if self._closing:
                return
            try:
                self.store = await self._opening()
            except StoreError as error:
                if str(error) != str(self._failure):
                    _log.error(_LATE, extra={"reason": str(error)})
                self._failure = error.again()
            else:
                _log.warning("the data folder can be used now: from here on files are kept")
                return


async def open_store(path: Path, limit: int, observer: Observer, clock: Clock) -> DiskStore | LateStore:
    """The store on the data folder `path`; one that is late, where it cannot be opened for now.

    Raises StoreRefused where only a person can help.
    """

    async def opening() -> DiskStore:
        return await DiskStore.open(path, limit, observer, clock)

    try:
        return await opening()
    except StoreRefused:
        raise
    except StoreError as error:
        _log.error(_LATE, extra={"reason": str(error)})
        return LateStore(opening, error)
