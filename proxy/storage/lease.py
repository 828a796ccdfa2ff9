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
    count as stored until it was checked in the background (`check`). Raises StoreBroken when this process is out of
    descriptors: the file may be right.
    """

    __slots__ = ("_blob", "_blobs", "_check", "_descriptor", "_drop", "_record")
    _descriptor: int
    _record: Record

    def __init__(
        self, blob: Blob, blobs: Blobs, drop: Callable[[Record], None], check: Callable[[Record], None]
    ) -> None:
        self._blob = blob
        self._blobs = blobs
        self._drop = drop
        self._check = check

    def __enter__(self) -> int:
        record = self._blobs.acquire(self._blob.digest.value)
        if record is None:
            raise BlobDamaged("The file is not stored any more.")
        try:
            self._descriptor = _opened(self._blob.path, record, self._blobs, self._drop, self._check)
        except BaseException:
            self._blobs.release(record)
            raise
        self._record = record
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._blobs.release(self._record)


def _opened(
    path: str, record: Record, blobs: Blobs, drop: Callable[[Record], None], check: Callable[[Record], None]
) -> int:
    if record.hidden:
        check(record)
        raise BlobDamaged("The stored file is being checked.")
    descriptor = -1
    try:
        descriptor = os.open(path, OPEN_FLAGS)
        status = os.fstat(descriptor)
        stamp = stamp_of(status)
        if stamp == record.stamp and status.st_size == record.size and stat.S_ISREG(status.st_mode):
            return descriptor
        if stat.S_ISREG(status.st_mode) and status.st_size == record.size:
            if record.size > INLINE:
                record.stamp = None
                os.close(descriptor)
                check(record)
                raise BlobDamaged("The stored file was touched; it is being checked.")
            if has_digest(descriptor, record.size, record.sha256):
                blobs.prove(record.sha256, stamp)
                return descriptor
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise StoreBroken(
                f"A stored file cannot be opened: {error.strerror}. Raise the limit (ulimit -n)."
            ) from error
    if descriptor >= 0:
        os.close(descriptor)
    drop(record)
    raise BlobDamaged("The stored file is not what was stored; it was dropped.")
