"""Opening a blob's file for reading, and making sure that it is what was stored.

A few system calls, on the event loop or in any thread. The store is told what is damaged, and drops it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from types import TracebackType

from proxy.errors import BlobDamaged, StoreBroken
from proxy.model import Blob
from proxy.storage.blobs import Blobs, Record
from proxy.storage.proof import INLINE, proves, stamp_of

# Without O_NONBLOCK a named pipe in a blob's place would be waited for.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Lease:
    """`with Lease(…) as descriptor`: the file stays open and is not evicted meanwhile.

    Raises BlobDamaged on entry. A small file whose stamp differs is proved by its digest at once; a large one is left
    to be proved in the background (`doubt`) and does not count as stored until then. Raises StoreBroken when this
    process is out of descriptors: that says nothing of the file.
    """

    __slots__ = ("_blob", "_blobs", "_descriptor", "_doubt", "_drop", "_record")
    _descriptor: int
    _record: Record

    def __init__(
        self, blob: Blob, blobs: Blobs, drop: Callable[[Record], None], doubt: Callable[[Record], None]
    ) -> None:
        self._blob = blob
        self._blobs = blobs
        self._drop = drop
        self._doubt = doubt

    def __enter__(self) -> int:
        record = self._blobs.acquire(self._blob.digest.value)
        if record is None:
            raise BlobDamaged("The file is not stored any more.")
        try:
            self._descriptor = _opened(self._blob.path, record, self._drop, self._doubt)
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


def _opened(path: str, record: Record, drop: Callable[[Record], None], doubt: Callable[[Record], None]) -> int:
    if record.hidden:
        doubt(record)
        raise BlobDamaged("The stored file is being checked.")
    descriptor = -1
    try:
        descriptor = os.open(path, _FLAGS)
        status = os.fstat(descriptor)
        stamp = stamp_of(status)
        if stamp == record.stamp and status.st_size == record.size and stat.S_ISREG(status.st_mode):
            return descriptor
        if stat.S_ISREG(status.st_mode) and status.st_size == record.size:
            if record.size > INLINE:
                record.stamp = None
                os.close(descriptor)
                doubt(record)
                raise BlobDamaged("The stored file was touched; it is being checked.")
            if proves(descriptor, record.size, record.value):
                record.stamp = stamp
                return descriptor
    except OSError as error:
        if error.errno in _OURS:
            raise StoreBroken(
                f"A stored file cannot be opened: {error.strerror}. Raise the limit (ulimit -n)."
            ) from error
    if descriptor >= 0:
        os.close(descriptor)
    drop(record)
    raise BlobDamaged("The stored file is not what was stored; it was dropped.")
