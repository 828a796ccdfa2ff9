"""The tables of the history's file, and how an earlier file becomes one of this version.

Names stand once, in `files` and `clients`; a row of `requests` is three numbers and its sums. So five million rows are
some 200 MB, a project's are found by its files, and a client's beside each other. Days are UTC, counted from the epoch;
sizes are bytes.
"""

from __future__ import annotations

import sqlite3

VERSION = 2
_TOTALS = """
CREATE TABLE IF NOT EXISTS totals (
  day INTEGER, upstream TEXT, kind TEXT, requests INTEGER, hits INTEGER, from_cache INTEGER, from_flight INTEGER,
  from_upstream INTEGER, fetched INTEGER, PRIMARY KEY (day, upstream, kind)
) WITHOUT ROWID;
"""
# `sha256` is empty where it was not known; `last`: when somebody last asked for the file, seconds since the epoch;
# `saved`: bytes that clients got of it without a download of their own.
_NAMES = """
CREATE TABLE IF NOT EXISTS files (
  id INTEGER PRIMARY KEY, upstream TEXT, project TEXT, version TEXT, name TEXT, sha256 BLOB, last REAL, saved INTEGER,
  UNIQUE (upstream, name, sha256)
);
CREATE INDEX IF NOT EXISTS files_project ON files (project);
CREATE INDEX IF NOT EXISTS files_name ON files (name);
CREATE INDEX IF NOT EXISTS files_sha256 ON files (sha256) WHERE sha256 <> x'';
CREATE TABLE IF NOT EXISTS clients (
  id INTEGER PRIMARY KEY, address TEXT, name TEXT, version TEXT, build TEXT, UNIQUE (address, name, version, build)
);
CREATE TABLE IF NOT EXISTS requests (
  file INTEGER, client INTEGER, day INTEGER, requests INTEGER, size INTEGER, first REAL, last REAL,
  PRIMARY KEY (file, client, day)
) WITHOUT ROWID;
"""
# Version 1 knew neither programs nor digests, and had a file's rows by day.
_BEFORE_2 = """
ALTER TABLE files RENAME TO files_1;
ALTER TABLE clients RENAME TO clients_1;
ALTER TABLE requests RENAME TO requests_1;
DROP INDEX files_project;
DROP INDEX files_name
"""
_FROM_1 = """
INSERT INTO requests SELECT file, client, day, requests, size, first, last FROM requests_1;
DROP TABLE requests_1;
INSERT INTO files SELECT id, upstream, project, version, name, x'', (
  SELECT max(last) FROM requests WHERE file = files_1.id), 0 FROM files_1;
INSERT INTO clients SELECT id, address, '', '', '' FROM clients_1;
DROP TABLE files_1;
DROP TABLE clients_1
"""
# By the version of the file; one without tables has 0.
_STEPS = {0: (_TOTALS, _NAMES), 1: (_BEFORE_2, _NAMES, _FROM_1)}


class LaterVersion(sqlite3.DatabaseError):
    """The file is of a later version of the program, which this one would misread."""


def is_present(connection: sqlite3.Connection) -> bool:
    """Whether the tables are those of this version. Raises sqlite3.Error, LaterVersion."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise LaterVersion("a later version of pullthrough has written it")
    return version == VERSION


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an earlier version up to this one: all or nothing.

    Raises sqlite3.Error, LaterVersion.
    """
    if is_present(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not is_present(connection):  # another process may have done it meanwhile
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for statement in ";".join(_STEPS[version]).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
