"""Whether a stored file is what was stored: by its stamp, cheaply, or by its digest, for certain.

A stamp is the time of the last change of the inode (nanoseconds) and its number: it differs once somebody wrote to the
file, set its times back, or put another in its place. It is compared each time a blob is opened. Where it differs, as
in a restored backup or after a chmod, only the digest can tell.
"""

from __future__ import annotations

import hashlib
import os

from proxy.storage.threads import Threads

_PIECE = 4 << 20  # bytes read at once
# Up to this size a file is proved while the caller waits, on the event loop: 6 ms.
INLINE = 8 << 20
# Bodies that come in one piece and are longer than this wait for the platter; shorter ones are proved after a restart.
SYNCED_FROM = 1 << 20


def stamp_of(status: os.stat_result) -> str:
    """The stamp of an open file."""
    return f"{status.st_ctime_ns}:{status.st_ino}"


def proves(descriptor: int, size: int, value: str) -> bool:
    """Whether the file has exactly `size` bytes with the sha256 `value`. Raises OSError."""
    running = hashlib.sha256()
    position = 0
    while piece := os.pread(descriptor, _PIECE, position):
        running.update(piece)
        position += len(piece)
        if position > size:
            return False
    return position == size and running.hexdigest() == value


async def proves_slowly(threads: Threads, descriptor: int, size: int, value: str) -> bool:
    """The same in worker threads, piece by piece: other work gets its turn. Raises StoreBroken if it cannot be read."""
    running = hashlib.sha256()

    def advance(position: int) -> int:
        piece = os.pread(descriptor, _PIECE, position)
        running.update(piece)
        return len(piece)

    position = 0
    while position < size:
        length = await threads.hash(advance, position)
        if not length:
            return False
        position += length
    return running.hexdigest() == value
