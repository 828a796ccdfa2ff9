"""What went wrong on the disk: the one place that turns errors of the system and of SQLite into `errors.StoreError`.

Also whether the disk is well, for the health check: it is not from a failed write until one succeeds.
"""

from __future__ import annotations

import enum
import errno
import logging
import sqlite3
import time
from collections.abc import Callable

from diskcache import Timeout

from proxy.errors import StoreBroken, StoreError, StoreFull

_log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What says that the database itself can be trusted no less than before: the disk, a lock or the memory is the matter.
_NOT_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_AUTH,
    }
)
_QUIET = 60.0  # seconds between two lines that say that the same place fails
_CUT_SHORT = 522  # SQLITE_IOERR_SHORT_READ: pages are missing

DISK_ERRORS = (OSError, sqlite3.Error, Timeout)


def to_store_error(error: Exception) -> StoreError:
    """The failure as the ports know it."""
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return StoreFull(f"The disk of the data folder is full: {error.strerror}. Free some space there.")
        return StoreBroken(f"The data folder cannot be used: {error.strerror}.")
    if isinstance(error, Timeout) and isinstance(error.__context__, sqlite3.Error):
        error = error.__context__  # diskcache calls every failure to begin a transaction a time-out
    if isinstance(error, Timeout) or _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBroken("The index in the data folder is locked by another process. Close what has it open.")
    if _code(error) == sqlite3.SQLITE_FULL:
        return StoreFull("The disk of the data folder is full. Free some space there.")
    return StoreBroken(f"The index in the data folder cannot be used: {error}.")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the database is not what was written, so that nothing but a new one helps."""
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return False  # a mistake of this program
    if getattr(error, "sqlite_errorcode", None) == _CUT_SHORT:
        return True
    # Errors without a code come from Python's own layer: columns or values of unexpected types.
    return _code(error) not in _NOT_DAMAGE


def _code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


class Place(enum.Enum):
    """What can fail by itself, and be well again by itself."""

    FILES = "files"
    INDEX = "index"
    ROOM = "room"


class Health:
    """Whether writing works. One log line when that changes, not one for each write, and one in a minute at most.

    `failures` counts all of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures = 0
        self._clock = clock
        self._failing: set[Place] = set()
        self._said: dict[Place, float] = {}  # when a failure was last logged
        self._open: set[Place] = set()  # whose failure was logged, and not its end

    @property
    def well(self) -> bool:
        """Whether everything that was tried last worked."""
        return not self._failing

    def failed(self, place: Place, error: StoreError) -> None:
        """A write did not succeed."""
        self.failures += 1
        if place in self._failing:
            return
        self._failing.add(place)
        now = self._clock()
        if now - self._said.get(place, -_QUIET) >= _QUIET:  # a nearly full disk takes one file and not the next
            self._said[place] = now
            self._open.add(place)
            _log.error("the data folder fails; files are served past it", extra={"reason": str(error)})

    def worked(self, place: Place) -> None:
        """A write succeeded."""
        if place in self._failing:
            self._failing.discard(place)
            if place in self._open:
                self._open.discard(place)
                _log.warning("the data folder works again", extra={"place": place.value})
