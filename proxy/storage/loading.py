"""What a start leaves to do: the rest of a large index is loaded, and its file examined, behind the answers.

A small store is loaded whole before the first answer, and there is nothing to do. Rows come in the order in which
eviction takes them, one piece after another, and the event loop has its turn between two. Where the index cannot be
read the piece is asked for again; where it is corrupt, it is made anew from what is loaded (`upkeep`), and the loading
is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from proxy.errors import StoreError
from proxy.storage import examination
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import DISK_ERRORS, Component, is_damage
from proxy.storage.examination import Examination
from proxy.storage.index import DATABASE, BlobPiece, IndexDatabase
from proxy.storage.record import BlobRow
from proxy.storage.threads import Threads
from proxy.storage.unloaded import Totals

FIRST = 5_000  # blobs that are loaded before the first answer: 30 ms
_PIECE = 250  # blobs that are loaded at once later: 1 to 2 ms of the event loop
_AGAIN = 1.0  # seconds between two tries to read the index


class Loading:
    """Belongs to the event loop of its store. Mutable state: how far it is, and whether the index can be read."""

    def __init__(
        self, folder: Path, index: IndexDatabase, blobs: Blobs, threads: Threads, check: Callable[[str], None]
    ) -> None:
        """`folder`: of the index. `check` has a blob checked that must not be served before."""
        self._index = index
        self._blobs = blobs
        self._threads = threads
        self._check = check
        self._path = folder / DATABASE
        self._examination = Examination(self._path)
        self._unproved: list[str] = []  # before `run`
        self._last = 0.0  # place up to which there is something to load
        self._reached: tuple[float, str] | None = None
        self._stuck = False
        self._ended = False
        self._stop = asyncio.Event()
        self._progress = asyncio.Event()  # set with each piece, and replaced

    def begin(self, totals: Totals, first: BlobPiece) -> None:
        """Take in the first piece of an index that has this much in all."""
        self._last, self._reached = totals.place, first.last
        self._blobs.expect(totals, self._look)
        self._unproved = self._blobs.take_in(first.rows)
        if len(self._blobs) <= len(first.rows) or first.last is None:
            self._blobs.all_loaded()

    def _look(self, sha256: str) -> BlobRow | None:
        try:
            return self._index.blob(sha256)
        except DISK_ERRORS as error:
            self._threads.failed(error, Component.INDEX)
            return None

    async def run(self) -> None:
        """Load the rest, and look at a large database. Ends soon after `stop`, or when the index is made anew."""
        try:
            for sha256 in self._unproved:
                self._check(sha256)
            while self._blobs.loading and not self._stop.is_set():
                await self._load_piece()
                self._signal()
        finally:
            self._ended = True
            self._signal()
        if not self._stop.is_set() and not examination.is_small(self._path):
            await self._examine()

    async def _load_piece(self) -> None:
        assert self._reached is not None, "there is a first piece"
        try:
            piece = await self._threads.index(self._index.blobs, self._reached, self._last, _PIECE)
        except StoreError:
            self._stuck = True
            self._signal()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN):
                    await self._stop.wait()
            return
        self._stuck = False
        if not self._blobs.loading or self._stop.is_set():
            return  # it was made anew meanwhile
        for sha256 in self._blobs.take_in(piece.rows):
            self._check(sha256)
        if piece.last is None:
            self._blobs.all_loaded()
        else:
            self._reached = piece.last

    def _signal(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def more(self) -> bool:
        """Wait until more is loaded. False if there is nothing more, or if the index cannot be read now."""
        if not self._blobs.loading or self._stuck or self._ended:
            return False
        await self._progress.wait()
        return not self._stuck

    async def whole(self) -> bool:
        """Wait until all is loaded. False if the index cannot be read now."""
        while await self.more():
            pass
        return not self._blobs.loading

    async def _examine(self) -> None:
        work = self._threads.submit(self._examination.run)
        try:
            await asyncio.wrap_future(work)
        except sqlite3.Error as error:
            if is_damage(error):
                self._threads.failed(error, Component.INDEX)

    def stop(self) -> None:
        """Have `run` end soon."""
        self._stop.set()
        self._examination.stop()
