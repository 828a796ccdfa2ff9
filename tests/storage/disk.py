"""Stores on real folders, for the tests of this room."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from proxy.events import Event
from proxy.model import Digest, Entry, Validator
from proxy.storage.opening import PendingStore, open_disk_store
from proxy.storage.record import INLINE
from proxy.storage.store import DiskStore

PLENTY = 1 << 30
LARGE = bytes(range(256)) * (INLINE // 256) + b"more"  # too long to be proved on the event loop


class FixedClock:
    """`ports.Clock`, `ahead` seconds before the machine's wall clock."""

    def __init__(self, ahead: float = 0.0) -> None:
        self._ahead = ahead

    def now(self) -> float:
        return time.time() + self._ahead

    def monotonic(self) -> float:
        return time.monotonic()


@asynccontextmanager
async def opened(
    path: Path, limit: int = PLENTY, events: list[Event] | None = None, ahead: float = 0.0
) -> AsyncGenerator[DiskStore]:
    """A store on `path`, closed at the end."""
    store = await open_disk_store(path, limit, (events if events is not None else []).append, FixedClock(ahead))
    try:
        yield store
    finally:
        await store.close()


def digest(body: bytes) -> Digest:
    """The digest of a body."""
    return Digest("sha256", hashlib.sha256(body).hexdigest())


def digests(store: DiskStore) -> list[Digest]:
    """All blobs, the longest unused first."""
    return [Digest("sha256", record.sha256) for record in store._blobs]


async def verify(store: DiskStore, wanted: Digest) -> bool | None:
    """Whether a blob is what was stored, as the background finds out; None if it is not there."""
    return await store._verifier.verify(wanted.value)


def entry(key: str, body: bytes) -> Entry:
    """An entry of `key` for a body."""
    return Entry(key, f"https://files.example/{key}", digest(body), len(body), "text/plain", Validator('"1"'), 1.0, 2.0)


async def keep(store: DiskStore, key: str, body: bytes) -> Entry:
    """Store a body and an entry that names it."""
    await store.put(body)
    known = entry(key, body)
    await store.save(known)
    return known


async def adopt(store: DiskStore, name: str, body: bytes) -> None:
    """Store a body the way a download does."""
    spool = await store.spool(name, len(body))
    await spool.write(0, [body])
    await store.adopt(spool, digest(body), len(body))


def file_of(path: Path, body: bytes) -> Path:
    """Where the data folder `path` keeps a body."""
    value = digest(body).value
    return path / "index" / "sha256" / value[:2] / value[2:]


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the database of the data folder `path` locked, as a backup tool may."""
    with closing(sqlite3.connect(path / "index" / "cache.db", isolation_level=None, timeout=5)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def fixed(folder: Path) -> Generator[None]:
    """Have nothing be deleted in a folder: it is another user's, or for root, whom modes do not hold, to read only."""
    if os.geteuid():
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return
    for command in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
        if subprocess.run(["mount", *command], capture_output=True, check=False).returncode:
            pytest.skip("mounting needs the rights of root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def usable(late: PendingStore) -> None:
    """Wait until the folder is open."""
    while late.store is None:
        late.try_again()
        await asyncio.sleep(0.01)
