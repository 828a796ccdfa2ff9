"""The descriptor of a file under construction, which its owner and those who read it hold open together.

The kinds of spool files are made of it. When the last of them has let go, the file is closed; who comes later reads the
blob that it became.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from proxy.errors import StoreBroken
from proxy.storage.blobs import Blobs
from proxy.storage.record import Record


class SharedFile:
    """Changed on the event loop; the count of users also in threads."""

    def __init__(self) -> None:
        self.fd = -1
        self._users = 1  # the owner
        self._lock = threading.Lock()
        self._blob: tuple[Blobs, Record, Path] | None = None  # once it was adopted

    @contextmanager
    def share(self) -> Generator[int]:
        """See `ports.Spool.share`."""
        if not self._acquire():
            self._open_blob()
        try:
            yield self.fd
        finally:
            self._release()

    def _became(self, blobs: Blobs, blob: tuple[Record, Path] | None) -> None:
        """What became of the file: nothing, or a blob, which stays leased while somebody reads it from here."""
        if blob is not None:
            record, path = blob
            if blobs.holds(record) and blobs.acquire(record.sha256) is not None:
                self._blob = blobs, record, path

    def _acquire(self) -> bool:
        with self._lock:
            self._users += bool(self._users)
            return bool(self._users)

    def _open_blob(self) -> None:
        """A share after the end: the file is a blob by now, if all went well."""
        if self._blob is None:
            raise StoreBroken("The download is over, and its file is gone.")
        blobs, record, path = self._blob
        if not blobs.holds(record) or blobs.acquire(record.sha256) is None:
            raise StoreBroken("The downloaded file was removed from the disk.")
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            blobs.release(record)
            raise StoreBroken(f"The downloaded file cannot be opened: {error.strerror}.") from error
        self._users = 1

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            try:
                self._close()
            finally:
                if self._blob is not None:
                    blobs, record, _ = self._blob
                    blobs.release(record)

    def _close(self) -> None:
        """Let go of the descriptor: nobody uses it any more."""
        descriptor, self.fd = self.fd, -1
        if descriptor >= 0:
            os.close(descriptor)
