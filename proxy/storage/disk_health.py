"""The health of the disk: what errors of the system and of SQLite mean, and whether writing works.

The one place that turns these errors into `errors.StoreError`. Everything that writes reports here what became of it.
"""

from __future__ import annotations

import enum
import errno
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.errors import StoreBroken, StoreError, StoreFull

_log = logging.getLogger(__name__)

OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # of the process: files may be right
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# SQLite errors that do not mean corruption: of the disk, locking, memory, or of how the database was asked.
_NOT_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    }
)
_CUT_SHORT = 522  # SQLITE_IOERR_SHORT_READ: pages are missing
_QUIET = 60.0  # seconds between two log lines about the same component

DISK_ERRORS = (OSError, sqlite3.Error)


def to_store_error(error: Exception) -> StoreError:
    """One of `DISK_ERRORS` as the ports know it."""
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return StoreFull(f"The disk of the data folder is full: {error.strerror}. Free some space there.")
        return StoreBroken(f"The data folder cannot be used: {error.strerror}.")
    if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBroken("The index in the data folder is locked by another process. Close what has it open.")
    if _code(error) == sqlite3.SQLITE_FULL:
        return StoreFull("The disk of the data folder is full. Free some space there.")
    return StoreBroken(f"The index in the data folder cannot be used: {error}.")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the database file is corrupt, so that only a new one helps."""
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return False  # a mistake of this program
    if getattr(error, "sqlite_errorcode", None) == _CUT_SHORT:
        return True
    # Errors without a code come from Python's own layer: columns or values of unexpected types.
    return _code(error) not in _NOT_DAMAGE


def _code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


class Component(enum.Enum):
    """What can fail while the others work."""

    FILES = "files"
    INDEX = "index"
    ROOM = "room"
    READING = "reading"


@dataclass(frozen=True, slots=True)
class Undeleted:
    """What was to be deleted and is on the disk still: blobs by sha256, downloads by name; and the first failure.

    `reason`: what the system says of it, for a person.
    """

    blobs: frozenset[str] = frozenset()
    downloads: tuple[str, ...] = ()
    failure: StoreError | None = None

    @property
    def reason(self) -> str:
        cause = self.failure.__cause__ if self.failure is not None else None
        return (cause.strerror if isinstance(cause, OSError) else None) or str(self.failure or "")


class DiskHealth:
    """Whether the disk works. Mutable state: the components that fail, and what was logged of them.

    A change is logged, not each failed write; of a component that fails and works by turns, once a minute.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures = 0  # of all components so far
        self.readable = True  # False: of what is stored nothing can be read now
        self._clock = clock
        self._failing: set[Component] = set()
        self._logged_at: dict[Component, float] = {}
        self._logged: set[Component] = set()  # whose failure was logged, and not its end

    @property
    def well(self) -> bool:
        """Whether each component worked the last time."""
        return not self._failing

    def failed(self, component: Component, error: StoreError) -> None:
        """A write failed, or all reading."""
        self.failures += 1
        self.readable &= component is not Component.READING
        if component in self._failing:
            return
        self._failing.add(component)
        now = self._clock()
        # Of a nearly full disk one write works and the next fails.
        if now - self._logged_at.get(component, -_QUIET) >= _QUIET:
            self._logged_at[component] = now
            self._logged.add(component)
            _log.error("the data folder fails; files are served and not stored", extra={"reason": str(error)})

    def worked(self, component: Component) -> None:
        """A write worked, or reading."""
        self.readable |= component is Component.READING
        if component in self._failing:
            self._failing.discard(component)
            if component in self._logged:
                self._logged.discard(component)
                _log.warning("the data folder works again", extra={"place": component.value})
