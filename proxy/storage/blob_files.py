"""The files of blobs: brought to the places that their digests say, and found again after a kill.

A file is renamed to its place, then the blob is in memory, then its row is written. A blob goes the other way round
(`deletion`). So a kill leaves a file without a row at worst, and `sweep` takes those in.

One at a time works on the file of a digest. So a blob that is dropped and stored again cannot lose its new file to the
deletion of the old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import stat
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from proxy import operating_system
from proxy.errors import StoreError
from proxy.storage.backlog import Adopted, Backlog
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import Component
from proxy.storage.folder import DataFolder
from proxy.storage.record import Record, hidden
from proxy.storage.threads import Threads
from proxy.storage.verification import SYNCED_FROM, stamp_of
from proxy.storage.writing import write_all

_REST = re.compile(r"[0-9a-f]{62}")
PART = ".tmp"  # the ending of a body that is being written beside its place
_ABANDONED = 3600.0  # seconds after which nobody writes one any more
_TOGETHER = 1000  # names of files that are looked at together, about
_TRIES = 5  # to make a file's folder


class BlobFiles:
    """Changed on the event loop only."""

    def __init__(
        self, folder: DataFolder, blobs: Blobs, backlog: Backlog, threads: Threads, check: Callable[[str], None]
    ) -> None:
        """`check` has a blob checked that must not be served before."""
        self._folder = folder
        self._blobs = blobs
        self._backlog = backlog
        self._threads = threads
        self._check = check
        self.locks = DigestLocks()  # also of those who bring many files at once
        self._numbers = count()
        self._sweeping = asyncio.Lock()
        self._stopped = False

    async def adopt(self, path: Path, sha256: str, size: int) -> Record:
        """Make a complete file a blob. The file stays where it is if there is a blob of this digest.

        One that is longer than `SYNCED_FROM` was fsynced. Raises StoreFull, StoreBroken.
        """
        return await self._store(sha256, size, self._threads.files, partial(move, path), synced=size > SYNCED_FROM)

    async def put(self, body: bytes, sha256: str) -> Record:
        """Write a body to a file and make that a blob. Raises StoreFull, StoreBroken.

        A short body is not fsynced, so that nobody waits for the disk. Once the machine has started anew it is checked,
        and dropped if a power cut took some of it.
        """
        return await self._written(sha256, len(body), partial(write_all, [body]))

    async def copy(self, descriptor: int, size: int, sha256: str) -> Record:
        """As `put`, of a body that is the first `size` bytes of a file in memory."""
        return await self._written(sha256, size, partial(_copy, descriptor, size))

    async def _written(self, sha256: str, size: int, fill: Callable[[int], None]) -> Record:
        path = self._folder.spool / f"{sha256}-{next(self._numbers)}.tmp"
        synced = size > SYNCED_FROM
        run = self._threads.sync if synced else self._threads.short
        return await self._store(sha256, size, run, partial(write, path, fill, sync=synced), synced=synced)

    async def _store(
        self,
        sha256: str,
        size: int,
        run: Callable[[Callable[[Path], str], Path], Awaitable[str]],
        work: Callable[[Path], str],
        *,
        synced: bool,
    ) -> Record:
        """Let `work`, which is run by `run`, bring a file to its place and give its stamp, unless there is one."""
        await self.locks.free(sha256)
        before = self._blobs.get(sha256)
        if before is not None and not before.hidden:
            return before
        self._backlog.refuse_if_full()
        if before is not None:
            self._blobs.remove(before)  # nobody knows whether it is right: this one is
        with self.locks.hold((sha256,)):
            try:
                stamp = await run(work, self._folder.blob(sha256))
            except StoreError:
                if before is not None:
                    with contextlib.suppress(StoreError):
                        await self.take_in((sha256,))
                raise
            self._threads.health.worked(Component.FILES)
            record = Record(sha256, size, stamp, self._blobs.next_place())
            self._blobs.add(record)
            self._backlog.add(Adopted(((sha256, size, stamp, record.used),), fsynced=synced))
            return record

    async def sweep(self) -> list[Record]:
        """Take in files that have no row. Reads names, and sizes of those only. Gives the blobs that have no file.

        A few folders at a time, so that not all names are in memory at once. One sweep after the other: each passes
        over what is being worked on, and a second one would end before the first has taken in what it is looking at.
        Ends soon after `stop`. Raises StoreFull, StoreBroken.
        """
        async with self._sweeping:
            return await self._sweep()

    async def _sweep(self) -> list[Record]:
        lost: list[Record] = []
        fronts = deque(f"{number:02x}" for number in range(256))
        while fronts and not self._stopped:
            known = self._known_in(fronts)
            there = await self._threads.files(_names, self._folder.index / "sha256", list(known))
            fronts.extendleft(reversed(list(known)[len(there) :]))
            for front, names in there.items():
                lost += await self._compare(known[front], names)
        return lost

    def stop(self) -> None:
        """Have sweeps end soon: a start looks at the names again."""
        self._stopped = True

    def _known_in(self, fronts: deque[str]) -> dict[str, list[str]]:
        """Take the next folders, and give the blobs that are known of each."""
        known: dict[str, list[str]] = {}
        count = 0
        while fronts and count < _TOGETHER:
            front = fronts.popleft()
            known[front] = [sha256 for sha256 in self._blobs.in_folder(front) if not self.locks.held(sha256)]
            count += len(known[front])
        return known

    async def _compare(self, known: Sequence[str], there: set[str]) -> list[Record]:
        """See to what differs between the blobs that were known of a folder and the names in it."""
        unknown = [sha256 for sha256 in there if sha256 not in self._blobs and not self.locks.held(sha256)]
        if unknown:
            with self.locks.hold(unknown):
                await self.take_in(unknown)
        lost = [record for sha256 in known if sha256 not in there and (record := self._blobs.get(sha256)) is not None]
        if not lost:
            return []
        await self._threads.files(self._folder.look)  # of a disk that is away, all seems to be gone
        gone = await self._threads.files(_missing, [self._folder.blob(record.sha256) for record in lost])
        return [record for record, missing in zip(lost, gone, strict=True) if missing]

    async def take_in(self, sha256s: Iterable[str]) -> None:
        """Make the files that are at the places of these digests blobs, which nobody proved. The caller holds them."""
        found = await self._threads.files(_sizes, [(sha256, self._folder.blob(sha256)) for sha256 in sha256s])
        for sha256, size in found:
            self._blobs.add_found(sha256, size)
            if hidden(size, None):
                self._check(sha256)
        if found:
            rows = tuple((sha256, size, None, 0.0) for sha256, size in found)
            self._backlog.add(Adopted(rows, fsynced=False))


class DigestLocks:
    """Who works on the file of which digest; of a download that broke off, of which name. On the event loop only."""

    def __init__(self) -> None:
        self._held: dict[str, asyncio.Event] = {}

    def held(self, sha256: str) -> bool:
        """Whether somebody works on the file of this digest."""
        return sha256 in self._held

    async def free(self, sha256: str) -> None:
        """Wait until nobody does. To hold it, the caller must not await anything in between."""
        while (other := self._held.get(sha256)) is not None:
            await other.wait()

    def hold(self, sha256s: Iterable[str]) -> contextlib.ExitStack:
        """Lock digests that are free, from now on to the end of the `with` block."""
        locked, done = tuple(sha256s), asyncio.Event()
        for sha256 in locked:
            assert sha256 not in self._held, "one at a time"
            self._held[sha256] = done

        def release() -> None:
            for sha256 in locked:
                del self._held[sha256]
            done.set()

        stack = contextlib.ExitStack()
        stack.callback(release)
        return stack


# What follows is blocking work for a thread, and raises OSError.


def move(source: Path, target: Path) -> str:
    """Make a finished file the one at `target`, whatever is there. Gives its stamp."""
    _move(source, target)
    return stamp_of(target.stat())


def _move(source: Path, target: Path) -> None:
    for left in reversed(range(_TRIES)):
        try:
            os.replace(source, target)  # noqa: PTH105 the atomic one, by its name
        except IsADirectoryError:
            shutil.rmtree(target)
        except (FileNotFoundError, FileExistsError):  # its folder goes with the last file in it, perhaps in this moment
            if not left:
                raise
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            return
    raise FileExistsError(errno.EEXIST, "a folder comes again and again where a body belongs", str(target))


def write(source: Path, fill: Callable[[int], None], target: Path, *, sync: bool) -> str:
    """Have the file `source` filled, fsynced if `sync`, and move it to `target`. Gives its stamp."""
    try:
        descriptor = os.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            fill(descriptor)
            if sync:
                operating_system.sync_data(descriptor)
            _move(source, target)
            return stamp_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
    except BaseException:
        source.unlink(missing_ok=True)
        raise


def _copy(source: int, size: int, descriptor: int) -> None:
    written = 0
    while written < size:
        sent = operating_system.send_file(descriptor, source, written, size - written)
        if not sent:
            raise OSError(0, "a download lost bytes in memory")
        written += sent


def _names(folder: Path, fronts: Iterable[str]) -> dict[str, set[str]]:
    """The digests that file names in these folders give, by folder; of the first folders, where they are many."""
    found: dict[str, set[str]] = {}
    count = 0
    for front in fronts:
        try:
            found[front] = set(_names_in(folder, front))
        except OSError:
            if not found:
                raise
            break
        count += len(found[front])
        if count >= _TOGETHER:
            break
    return found


def _names_in(folder: Path, front: str) -> list[str]:
    """The digests that file names in one folder give. What a kill left half written there is deleted."""
    try:
        names = os.listdir(folder / front)  # noqa: PTH208 names are enough
    except (NotADirectoryError, FileNotFoundError):
        return []
    for name in names:
        if name.endswith(PART):
            with contextlib.suppress(OSError):
                if time.time() - (folder / front / name).lstat().st_mtime > _ABANDONED:
                    (folder / front / name).unlink()
    return [front + rest for rest in names if _REST.fullmatch(rest)]


def _sizes(places: Iterable[tuple[str, Path]]) -> list[tuple[str, int]]:
    """The files among these, with their sizes in bytes."""
    found: list[tuple[str, int]] = []
    for sha256, path in places:
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((sha256, status.st_size))
    return found


def _missing(paths: Iterable[Path]) -> list[bool]:
    """Of which there is certainly nothing."""
    return [is_missing(path) for path in paths]


def is_missing(path: Path) -> bool:
    """Whether there is certainly nothing."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # nobody knows
    return False
