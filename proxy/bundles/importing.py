"""A bundle, taken into a store that serves meanwhile.

Nothing is believed but digests: a body goes to the store under its own sha256, and only if it is what the manifest says
of it. What is stored is whole after each member, so an import that was interrupted is repeated. What is here already
is read past, and what is here and newer stays. Release files come into force at the end, after all that they list.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator

import msgspec

from proxy.bundles.claims import BodyHashes, known
from proxy.bundles.intake import Intake
from proxy.bundles.manifest import BadBundle, BundleMember, Manifest
from proxy.bundles.reading import BundleReading, Event
from proxy.bundles.tar_file import RangeOf, nowhere
from proxy.bundles.tar_stream import Ended
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken, StoreFull
from proxy.model import Digest, Entry
from proxy.ports import Clock, Store

_LAST = ("apt:signature:", "apt:release:")  # in this order: a list is never found without its signature
_OF_INDEXES = ("page:", "file:")  # then the mount
_AT_ONCE = 4  # bodies that the disk takes at once
_ENDING = 2  # of them that are read and hashed, if they lie in a file
_TURN = 100  # members that are looked at in one go
_NAMED = 20  # missing files that are named
_PIECE = 1 << 20


class ImportWish(msgspec.Struct, frozen=True):
    """How a tar is taken in.

    `replace_newer`: also over what upstream confirmed later. `loose`: it is no bundle: its files are kept by their
    sha256.
    """

    replace_newer: bool = False
    loose: bool = False


class Imported(msgspec.Struct, frozen=True, tag=True):
    """What an import came to. `files` and `size` (bytes) came; `here`: bodies that were here before.

    `newer`: addresses of which something newer is here, and stays. `missing`: bodies that are in neither the bundle nor
    the cache, of which `named` gives some; those of a bundle that this one follows. `unknown`: addresses that mean
    nothing to this version. `indexes`: the mounts whose pages and files it has.
    """

    files: int = 0
    size: int = 0
    here: int = 0
    newer: int = 0
    missing: int = 0
    named: tuple[str, ...] = ()
    unknown: int = 0
    indexes: tuple[str, ...] = ()


class Import:
    """Takes one bundle in."""

    def __init__(self, store: Store, clock: Clock, limit: int, *, replace_newer: bool = False) -> None:
        """`limit`: bytes that the store may hold. `replace_newer`: what is here gives way though it is newer."""
        self._store = store
        self._clock = clock
        self._limit = limit
        self._replace_newer = replace_newer
        self._hashing = Workers("importing", 2)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._ending = asyncio.Semaphore(_ENDING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: Exception | None = None
        self._last: list[Entry] = []
        self._elsewhere: list[BundleMember] = []
        self._files = self._size = self._here = self._newer = self._missing = self._unknown = 0
        self._named: list[str] = []
        self._indexes: set[str] = set()

    async def run(self, pieces: AsyncIterator[bytes], range_of: RangeOf = nowhere) -> Imported:
        """Take in what these bytes bring, and the bodies that `range_of` gives in place of some of them.

        Raises BadBundle, StoreError, and what `pieces` raises. Whatever it raises, what was stored before is whole, and
        nothing else is left.
        """
        try:
            await self._read(pieces, range_of)
            await self._done()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._hashing.close()
        return Imported(
            self._files,
            self._size,
            self._here,
            self._newer,
            self._missing,
            tuple(self._named),
            self._unknown,
            tuple(sorted(self._indexes)),
        )

    async def _read(self, pieces: AsyncIterator[bytes], range_of: RangeOf) -> None:
        reading = BundleReading()
        intake: Intake | None = None
        member: BundleMember | None = None
        entries: list[Entry] = []
        begun = False
        try:
            async for data in pieces:
                coming = reading.feed(data)
                begun = begun or await self._has_begun(coming)
                for event in coming:
                    match event:
                        case BundleMember():
                            member, entries = event, known(event, self._clock.now())
                            intake = self._intake(member, entries)
                            if intake.take(range_of, reading.position):
                                reading.skip()
                        case Ended():
                            assert member is not None, "it began"
                            assert intake is not None, "it began"
                            await self._finish_soon(member, entries, intake)
                            intake = None
                        case memoryview():
                            assert intake is not None, "it began"
                            await intake.write(event)
            reading.finish()
        except BadBundle:
            await self._settle()  # an earlier member may be wrong, too: that one is named
            raise
        finally:
            if intake is not None:
                await intake.close()

    async def _has_begun(self, coming: Iterator[Event]) -> bool:
        """Read on in the manifest; gives whether it is whole. In a thread: a long one would hold up the cache."""
        manifest = await self._hashing.run(next, coming, None)
        if isinstance(manifest, Manifest):
            await self._begin(manifest)
        return manifest is not None

    async def _begin(self, manifest: Manifest) -> None:
        """Look at what will come. Raises BadBundle, StoreFull."""
        coming = dict[str, int]()
        for number, member in enumerate(manifest.members):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)  # each entry is a look into the index: others get their turn
            entries = known(member, self._clock.now())
            self._unknown += len(member.entries) - len(entries)
            self._indexes |= {one.key.split(":", 2)[1] for one in entries if one.key.startswith(_OF_INDEXES)}
            self._newer += len(entries) - len(self._wanted(entries))
            if member.elsewhere:
                self._elsewhere.append(member)
            elif self._is_wanted(member, entries):
                coming[member.sha256] = member.size
        if (need := sum(coming.values())) > self._limit:
            raise StoreFull(
                f"The bundle has {need:,} bytes that are not here, and the cache holds {self._limit:,} at most. "
                "Give it more with --disk."
            )

    def _intake(self, member: BundleMember, entries: Iterable[Entry]) -> Intake:
        name = f"bundle:{member.path}" if self._is_wanted(member, entries) else None
        return Intake(self._store, self._hashing, BodyHashes(member), member.size, name)

    def _is_wanted(self, member: BundleMember, entries: Iterable[Entry]) -> bool:
        """Whether the body of a member is not here, and an address of it will name it."""
        here = self._store.blob(Digest("sha256", member.sha256)) is not None
        return not here and bool(self._wanted(entries))

    def _wanted(self, entries: Iterable[Entry]) -> list[Entry]:
        """The entries that are to be here: nothing newer is."""
        return [entry for entry in entries if self._replaces(entry, self._store.find(entry.key))]

    def _replaces(self, entry: Entry, before: Entry | None) -> bool:
        if before is None or before.digest == entry.digest:
            return True
        return self._replace_newer or entry.checked > before.checked

    async def _finish_soon(self, member: BundleMember, entries: Iterable[Entry], intake: Intake) -> None:
        """Have a member stored behind the next ones. Raises what an earlier one failed with."""
        try:
            await self._turn.acquire()
        except BaseException:
            await intake.close()
            raise
        task = asyncio.create_task(self._finish(member, entries, intake), name="storing what was imported")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        if self._failed is not None:
            raise self._failed

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._turn.release()
        if not task.cancelled() and isinstance(error := task.exception(), Exception) and self._failed is None:
            self._failed = error

    async def _finish(self, member: BundleMember, entries: Iterable[Entry], intake: Intake) -> None:
        try:
            async with self._ending:
                await intake.end()
            here = self._store.blob(Digest("sha256", member.sha256)) is not None
            if intake.kept and not here:
                await intake.adopt(member.sha256)
                self._files += 1
                self._size += member.size
            self._here += here and bool(member.entries)
        finally:
            await intake.close()
        await self._save(member, entries)

    async def _save(self, member: BundleMember, entries: Iterable[Entry]) -> None:
        """Save the entries of a body that is here and was compared with them."""
        if self._store.blob(Digest("sha256", member.sha256)) is None:
            return  # nothing of it is wanted
        for entry in self._wanted(entries):
            if entry.key.startswith(_LAST):
                self._last.append(entry)
            else:
                await self._write(entry)

    async def _write(self, entry: Entry) -> None:
        before = self._store.find(entry.key)
        if before is not None and before.digest == entry.digest and before.checked >= entry.checked:
            return  # as new, and what was found out of it here since stays
        if not await self._store.save(entry):
            raise StoreBroken("What was imported is evicted already, or the disk fails. Give the cache more room.")

    async def _settle(self) -> None:
        """Wait for what is being stored. Raises what the first of it failed with."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._failed is not None:
            raise self._failed

    async def _done(self) -> None:
        await self._settle()
        for member in self._elsewhere:
            await self._take_elsewhere(member)
        for entry in sorted(self._last, key=lambda one: _LAST.index(one.key[: one.key.index(":", 4) + 1])):
            await self._write(entry)

    async def _take_elsewhere(self, member: BundleMember) -> None:
        """Save the entries of a body that an earlier bundle brought; without it they mean nothing."""
        entries = known(member, self._clock.now())
        blob = self._store.blob(Digest("sha256", member.sha256))
        if blob is None:
            if self._wanted(entries):
                self._missing += 1
                self._named += [member.path] if len(self._named) < _NAMED else []
            return
        hashes = BodyHashes(member)
        if not hashes.named:
            with self._store.lease(blob) as descriptor:
                await self._hashing.run(_hash, descriptor, hashes)
        hashes.check(blob.digest.value if hashes.named else None)
        self._here += bool(member.entries)
        await self._save(member, entries)


def _hash(descriptor: int, hashes: BodyHashes) -> None:
    position = 0
    while piece := os.pread(descriptor, _PIECE, position):
        hashes.update([piece])
        position += len(piece)
