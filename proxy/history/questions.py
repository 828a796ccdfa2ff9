"""Who got what, and how much was sent on each day: questions of the history, and their answers.

All calls block; another process may be writing meanwhile.

A question may mean more files than can be added up in time (`*`). So files are looked at by when they were last asked
for, and that ends where no further file can have a row among the first ones.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from proxy.apt import versions
from proxy.history import schema
from proxy.history.database import DAYS, NAME, HistoryFile, reading
from proxy.history.sums import DaySum

_FEW = 100  # names of one client that stand in the question itself, which is quicker
_GLOB = frozenset("*?[")
_OF_FILE = """
SELECT ?, client, sum(requests), sum(size), min(first), max(last) AS latest FROM requests
WHERE file = ? AND last >= ? {client} GROUP BY client HAVING latest > ? ORDER BY latest DESC LIMIT ?
"""
_BY_DIGEST = "SELECT id, version, last FROM files WHERE sha256 = ? OR (name = ? AND sha256 = x'')"
_BY_PATTERN = "SELECT id, version, last FROM files WHERE project GLOB ? OR name GLOB ?"
_BY_NAME = "SELECT id, version, last FROM files WHERE project IN (?, ?) OR name = ?"
_CLIENTS = "SELECT id FROM clients WHERE address = ?"
_NAMES = """
SELECT files.upstream, files.project, files.version, files.name, files.sha256, clients.address, clients.name,
  clients.version, clients.build FROM files, clients WHERE files.id = ? AND clients.id = ?
"""


@dataclass(frozen=True, slots=True)
class PullQuestion:
    """Which requests are looked for.

    `wanted`: a project or the name of a file, both also as a pattern (`*`, `?`, `[`); or `sha256`, hexadecimal digits
    of a file's digest: then `wanted` is its name, if that is known, for requests of which the digest is not known.
    `version`: of the project; without a local part it means all local versions, too; or a pattern. `since`: seconds
    since the epoch.
    """

    wanted: str
    version: str | None = None
    since: float = 0.0
    client: str | None = None
    most: int = 1000
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Pull:
    """What one client got of one file. `size`: bytes sent; times: seconds since the epoch.

    `sha256`, and what the program said of itself (`user_agent.UserAgent`), are empty where they are not known.
    """

    upstream: str
    project: str | None
    version: str | None
    name: str
    client: str
    requests: int
    size: int
    first: float
    last: float
    sha256: str = ""
    client_name: str = ""
    client_version: str = ""
    build: str = ""


_Row: TypeAlias = tuple[int, int, int, int, float, float]  # file, client, requests, size, first, last


@dataclass(frozen=True, slots=True)
class _Meant:
    """A file that is meant. `last`: when it was last asked for."""

    number: int
    version: str | None
    last: float


def pulls(folder: Path, question: PullQuestion) -> list[Pull]:
    """Who got what was asked for, the last first; at most `most`. Empty where there is no history.

    Raises OSError, sqlite3.Error: of the name SQLITE_INTERRUPT where too much is meant for an answer in time.
    """
    path = folder / NAME
    if not path.exists():
        return []
    with contextlib.closing(reading(path)) as connection:
        if schema.is_present(connection):
            return _found(connection, question)
    HistoryFile.open(folder).close()  # brings it up to this version
    with contextlib.closing(reading(path)) as connection:
        return _found(connection, question)


def days(folder: Path) -> list[DaySum]:
    """What was sent and fetched on each day, the first one first. Empty where there is no history, or no such table.

    Raises OSError, sqlite3.Error.
    """
    path = folder / NAME
    if not path.exists():
        return []
    with contextlib.closing(reading(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'totals'").fetchone():
            return []
        return [DaySum(*row) for row in connection.execute(DAYS)]


def _found(connection: sqlite3.Connection, question: PullQuestion) -> list[Pull]:
    connection.execute("BEGIN")  # all of it is of one moment
    files = sorted(_files(connection, question), key=lambda one: -one.last)
    rows = _latest(connection, question, [one for one in files if one.last >= question.since])
    found = [_pull(connection, *row) for row in rows]
    found.sort(key=lambda one: (-one.last, one.name, one.client, one.client_name, one.client_version, one.build))
    return found


def _latest(connection: sqlite3.Connection, question: PullQuestion, files: list[_Meant]) -> list[_Row]:
    """The last sums by file and client. `files` is in the order of `last`.

    Each file looked at has a row of its own `last`, unless one client is asked for: so no more of them are than rows.
    """
    most, condition = question.most, ""
    clients: tuple[int | str, ...] = ()
    if question.client is not None:
        clients = tuple(number for (number,) in connection.execute(_CLIENTS, (question.client,)))
        if len(clients) > _FEW:  # builds have names of their own
            clients = (json.dumps(clients),)
            condition = "AND client IN (SELECT value FROM json_each(?))"
        else:
            condition = f"AND client IN ({','.join('?' * len(clients))})"
    statement = _OF_FILE.format(client=condition)
    found: list[tuple[float, _Row]] = []  # a heap
    for file in files:
        full = len(found) == most
        least = found[0][0] if full else -1.0  # what a row must exceed
        if file.last <= least:
            break
        for row in connection.execute(statement, (file.number, file.number, question.since, *clients, least, most)):
            if len(found) < most:
                heapq.heappush(found, (row[5], row))
            else:
                heapq.heappushpop(found, (row[5], row))
    return [row for _, row in found]


def _pull(  # noqa: PLR0913, PLR0917 - a row
    connection: sqlite3.Connection, file: int, client: int, requests: int, size: int, first: float, last: float
) -> Pull:
    upstream, project, version, name, digest, address, *agent = connection.execute(_NAMES, (file, client)).fetchone()
    return Pull(upstream, project, version, name, address, requests, size, first, last, digest.hex(), *agent)


def _files(connection: sqlite3.Connection, question: PullQuestion) -> Iterator[_Meant]:
    """The files that are meant."""
    wanted, version = question.wanted, question.version
    values: tuple[str | bytes, ...]
    if question.sha256 is not None:
        statement, values = _BY_DIGEST, (bytes.fromhex(question.sha256), wanted)
    elif _GLOB & set(wanted):
        statement, values = _BY_PATTERN, (wanted, wanted)
    else:
        from packaging.utils import canonicalize_name  # noqa: PLC0415 - late: few verbs ask, and all load this

        statement, values = _BY_NAME, (wanted, canonicalize_name(wanted), wanted)
    found = [_Meant(*row) for row in connection.execute(statement, values)]
    if version is None:
        yield from found
    elif _GLOB & set(version):
        every = json.dumps(sorted({one.version for one in found if one.version is not None}))
        fitting = {
            one for (one,) in connection.execute("SELECT value FROM json_each(?) WHERE value GLOB ?", (every, version))
        }
        yield from (one for one in found if one.version in fitting)
    else:
        yield from (one for one in found if one.version is not None and _same(one.version, version))


def _same(own: str, wanted: str) -> bool:
    """Whether a version is the wanted one, or a local version of it (PEP 440)."""
    if versions.same(own, wanted):
        return True
    from packaging.version import Version  # noqa: PLC0415 - likewise

    try:
        parsed, other = Version(own), Version(wanted)
    except ValueError:  # InvalidVersion, and more digits than Python reads
        return False
    return parsed == other or (other.local is None and Version(parsed.public) == other)
