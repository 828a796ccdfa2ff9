"""Opening a blob's file for reading, and making sure that it is what was stored.

A few system calls, on the event loop or in any thread. The store drops what is found to be damaged.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from types import TracebackType

from proxy.errors import BlobDamaged, StoreBroken
from proxy.model import Blob
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import OUT_OF_DESCRIPTORS
from proxy.storage.record import INLINE, Record
from proxy.storage.verification import OPEN_FLAGS, has_digest, stamp_of


class Lease:
    """`with Lease(…) as descriptor`: the file stays open and is not evicted meanwhile.

    Raises BlobDamaged on entry. A small file whose stamp differs is checked by its digest at once; a large one does not
    count as stored until it was checked in the background (`check`). One that cannot be read is dropped only where
    others can be (`look`): a disk that is away for a moment costs nothing. Raises StoreBroken when this process is out
    of descriptors: the file may be right.
    """

    __slots__ = ("_blob", "_blobs", "_check", "_descriptor", "_drop", "_look", "_record")
    _descriptor: int
    _record: Record

    def __init__(
        self,
        blob: Blob,
        blobs: Blobs,
        drop: Callable[[Record], None],
        check: Callable[[Record], None],
        look: Callable[[], bool],
    ) -> None:
        self._blob = blob
        self._blobs = blobs
        self._drop = drop
        self._check = check
        self._look = look

    def __enter__(self) -> int:
        record = self._blobs.acquire(self._blob.digest.value)
        if record is None:
            raise BlobDamaged("The file is not stored any more.")
        try:
            self._descriptor = self._opened(record)
        except BaseException:
            self._blobs.release(record)
            raise
        self._record = record
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.close(self._descriptor)
        finally:
            self._blobs.release(self._record)

    def _opened(self, record: Record) -> int:
        if record.hidden:
            self._check(record)
            raise BlobDamaged("The stored file is being checked.")
        for again in (True, False):
            try:
                descriptor = self._proved(record)
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    raise StoreBroken(
                        f"A stored file cannot be opened: {error.strerror}. Raise the limit (ulimit -n)."
                    ) from error
                if again and not self._look():
                    raise BlobDamaged("The data folder cannot be read now.") from error
            else:
                if descriptor is None:
                    break
                return descriptor
        self._drop(record)
        raise BlobDamaged("The stored file is not what was stored; it was dropped.")

    def _proved(self, record: Record) -> int | None:
        """The file if it is what was stored. None: it is another one. Raises OSError, BlobDamaged."""
        descriptor = os.open(self._blob.path, OPEN_FLAGS)
        right = False
        try:
            status = os.fstat(descriptor)
            stamp = stamp_of(status)
            if not stat.S_ISREG(status.st_mode) or status.st_size != record.size:
                return None
            if stamp == record.stamp:
                right = True
            elif record.size > INLINE:
                record.stamp = None
                self._check(record)
                raise BlobDamaged("The stored file was touched; it is being checked.")
            elif has_digest(descriptor, record.size, record.sha256):
                right = True
                self._blobs.prove(record.sha256, stamp)
            return descriptor if right else None
        finally:
            if not right:
                os.close(descriptor)
