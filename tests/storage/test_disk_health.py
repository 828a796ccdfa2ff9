"""Errors of the system, as the ports know them."""

from __future__ import annotations

import errno
import logging
import sqlite3

import pytest

from proxy.errors import StoreBroken, StoreFull
from proxy.storage.disk_health import Component, DiskHealth, is_damage, to_store_error


def _sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("an error of SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_to_store_error__no_room(number: int) -> None:
    """All ways to have no room are one."""
    assert isinstance(to_store_error(OSError(number, "x")), StoreFull)


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE, 0])
def test_to_store_error__other_errors_of_the_system(number: int) -> None:
    """Everything else is a disk that does not work."""
    assert isinstance(to_store_error(OSError(number, "x")), StoreBroken)


def test_to_store_error__sqlite() -> None:
    """SQLite's own codes are distinguished."""
    assert isinstance(to_store_error(_sqlite(sqlite3.SQLITE_FULL)), StoreFull)
    assert "locked" in str(to_store_error(_sqlite(sqlite3.SQLITE_BUSY)))
    assert isinstance(to_store_error(_sqlite(sqlite3.SQLITE_CORRUPT)), StoreBroken)


def test_is_damage__codes() -> None:
    """A lock or a full disk is no reason to throw a database away; pages that cannot be read are."""
    for code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, 522, sqlite3.SQLITE_CONSTRAINT):
        assert is_damage(_sqlite(code))
    for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, 266):
        assert not is_damage(_sqlite(code))
    for code in (sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISUSE):
        assert not is_damage(_sqlite(code))
    for code in (sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_ABORT, 516):
        assert not is_damage(_sqlite(code))
    assert not is_damage(sqlite3.ProgrammingError("a mistake"))


def test_health__readable() -> None:
    """A disk that takes nothing can be read, and one that cannot be read is not well."""
    health = DiskHealth()
    health.failed(Component.FILES, StoreBroken("x"))
    assert (True, False) == (health.readable, health.well)
    health.failed(Component.READING, StoreBroken("x"))
    health.worked(Component.FILES)
    assert (False, False) == (health.readable, health.well)
    health.worked(Component.READING)
    assert (True, True) == (health.readable, health.well)


def test_health__one_line_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    """It is well again when all that failed works; a thousand failures are one line."""
    health = DiskHealth()
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            health.failed(Component.FILES, StoreBroken("x"))
        health.failed(Component.INDEX, StoreBroken("x"))
        health.worked(Component.FILES)
        well = [health.well]
        health.worked(Component.INDEX)
        health.worked(Component.INDEX)

    assert [*well, health.well] == [False, True]
    assert len(caplog.records) == 4
    assert 1001 == health.failures


def test_health__nearly_full(caplog: pytest.LogCaptureFixture) -> None:
    """What fails and works by turns is logged once in a minute, with its end."""
    now = 0.0
    health = DiskHealth(lambda: now)
    lines = []
    with caplog.at_level(logging.INFO):
        for _ in range(180):
            now += 1.0
            for _ in range(5):
                health.failed(Component.ROOM, StoreFull("x"))
                health.worked(Component.ROOM)
            lines.append(len(caplog.records))

    assert (2, 2, 4, 6, 6) == (lines[0], lines[59], lines[60], lines[120], lines[-1])
    assert health.well
