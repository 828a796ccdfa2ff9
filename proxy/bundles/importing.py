"""A bundle, taken into a store that serves meanwhile.

Nothing is believed but digests: a body goes to the store under its own sha256, and only if it is what the manifest says
of it. What is stored is whole after each member, so an import that was interrupted is repeated. What is here already
is read past, and what is here and newer stays. Release files come into force at the end, after all that they list, and
so do index pages in place of others.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from proxy.bundles.addresses import Addresses, Learn
from proxy.bundles.claims import BodyHashes, known
from proxy.bundles.intake import SHORT, Intake
from proxy.bundles.manifest import BadBundle, BundleMember
from proxy.bundles.member_table import MemberTable
from proxy.bundles.reading import BundleReading, Event
from proxy.bundles.short_members import ShortMember, ShortMembers
from proxy.bundles.tar_file import RangeOf, nowhere
from proxy.bundles.tar_stream import Ended
from proxy.cache.workers import Workers
from proxy.errors import StoreFull
from proxy.model import Digest, Entry
from proxy.ports import Clock, Store

_OF_INDEXES = ("page:", "file:")  # then the mount
_AT_ONCE = 4  # bodies, or batches of short ones, that the disk takes at once
_ENDING = 2  # long bodies of them that are read and hashed, if they lie in a file
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
    nothing to this version, or whose page is none. `indexes`: the mounts whose pages and files it has.
    """

    files: int = 0
    size: int = 0
    here: int = 0
    newer: int = 0
    missing: int = 0
    named: tuple[str, ...] = ()
    unknown: int = 0
    indexes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Present:
    """The member that is being read. A short `body` stays in memory, a long one has an `intake`."""

    member: BundleMember | None = None
    entries: list[Entry] = field(default_factory=list)
    body: list[memoryview] = field(default_factory=list)
    intake: Intake | None = None


class Import:
    """Takes one bundle in."""

    def __init__(
        self, store: Store, clock: Clock, limit: int, *, replace_newer: bool = False, learn: Learn | None = None
    ) -> None:
        """`limit`: bytes that the store may hold. `replace_newer`, `learn`: as of `Addresses`."""
        self._store = store
        self._clock = clock
        self._limit = limit
        self._addresses = Addresses(store, replace_newer=replace_newer, learn=learn)
        self._hashing = Workers("importing", 2)
        self._short = ShortMembers(store, self._hashing, self._addresses)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._ending = asyncio.Semaphore(_ENDING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: Exception | None = None
        self._files = self._size = self._here = self._missing = self._unknown = 0
        self._named: list[str] = []
        self._indexes: set[str] = set()

    async def run(self, pieces: AsyncIterator[bytes], range_of: RangeOf = nowhere) -> Imported:
        """Take in what these bytes bring, and the bodies that `range_of` gives in place of some of them.

        Raises BadBundle, StoreError, and what `pieces` raises. Whatever it raises, what was stored before is whole, and
        nothing else is left.
        """
        with BundleReading() as reading:
            try:
                await self._read(reading, pieces, range_of)
                await self._done(reading.members)
            finally:
                for task in self._tasks:
                    task.cancel()
                await self._hashing.close()  # first: a thread may be at the reading, which is about to be closed
                await asyncio.gather(*self._tasks, return_exceptions=True)
        return Imported(
            self._files,
            self._size,
            self._here,
            self._addresses.newer,
            self._missing,
            tuple(self._named),
            self._unknown + self._addresses.unknown,
            tuple(sorted(self._indexes)),
        )

    async def _read(self, reading: BundleReading, pieces: AsyncIterator[bytes], range_of: RangeOf) -> None:
        present = _Present()
        begun = False
        try:
            async for data in pieces:
                coming = reading.feed(data)
                begun = begun or await self._has_begun(coming)
                for event in coming:
                    await self._take_event(event, present, reading, range_of)
            reading.finish()
            await self._store_gathered()
        except BadBundle:
            await self._store_gathered()
            await self._settle()  # an earlier member may be wrong, too: that one is named
            raise
        finally:
            if present.intake is not None:
                await present.intake.close()

    async def _take_event(self, event: Event, present: _Present, reading: BundleReading, range_of: RangeOf) -> None:
        match event:
            case BundleMember():
                present.member, present.entries = event, known(event, self._clock.now())
                if event.size > SHORT:
                    present.intake = self._intake(event, present.entries)
                    if present.intake.take(range_of, reading.position):
                        reading.skip()
            case Ended():
                assert present.member is not None, "it began"
                if (intake := present.intake) is not None:
                    present.intake = None
                    await self._finish_soon(present.member, present.entries, intake)
                elif self._short.add(ShortMember(present.member, present.entries, b"".join(present.body))):
                    await self._store_gathered()
                present.body = []
            case memoryview():
                if present.intake is None:
                    present.body.append(event)
                else:
                    await present.intake.write(event)

    async def _has_begun(self, coming: Iterator[Event]) -> bool:
        """Read on in the manifest; gives whether it is whole. In a thread: a long one would hold up the cache."""
        members = await self._hashing.run(next, coming, None)
        if isinstance(members, MemberTable):
            await self._begin(members)
        return members is not None

    async def _begin(self, members: MemberTable) -> None:
        """Look at what will come. Raises BadBundle, StoreFull."""
        coming = await self._hashing.run(self._survey, members)
        if coming > self._limit and (need := self._need(members)) > self._limit:
            raise StoreFull(
                f"The bundle has {need:,} bytes that are not here, and the cache holds {self._limit:,} at most. "
                "Give it more with --disk."
            )

    def _survey(self, members: MemberTable) -> int:
        """In a thread: what the manifest says of its members. Gives the bytes of their bodies. Raises BadBundle."""
        size, now = 0, self._clock.now()
        for member in members:
            entries = known(member, now)
            self._unknown += len(member.entries) - len(entries)
            self._indexes |= {one.key.split(":", 2)[1] for one in entries if one.key.startswith(_OF_INDEXES)}
            size += member.size if entries and not member.elsewhere else 0
        return size

    def _need(self, members: MemberTable) -> int:
        """Bytes that are to be stored, each body once."""
        coming = {
            member.sha256: member.size
            for member in members
            if not member.elsewhere and self._addresses.is_body_wanted(member, known(member, self._clock.now()))
        }
        return sum(coming.values())

    def _intake(self, member: BundleMember, entries: Iterable[Entry]) -> Intake:
        name = f"bundle:{member.path}" if self._addresses.is_body_wanted(member, entries) else None
        return Intake(self._store, self._hashing, BodyHashes(member), member.size, name)

    async def _finish_soon(self, member: BundleMember, entries: Iterable[Entry], intake: Intake) -> None:
        """Have a member stored behind the next ones. Raises what an earlier one failed with."""
        try:
            await self._turn.acquire()
        except BaseException:
            await intake.close()
            raise
        self._start(self._finish(member, entries, intake))

    async def _store_gathered(self) -> None:
        """Have the short members that were gathered stored behind the next ones. Raises as `_finish_soon`."""
        if batch := self._short.gathered():
            await self._turn.acquire()
            self._start(self._take_in(batch))

    def _start(self, storing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(storing, name="storing what was imported")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        if self._failed is not None:
            raise self._failed

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._turn.release()
        if not task.cancelled() and isinstance(error := task.exception(), Exception) and self._failed is None:
            self._failed = error

    async def _take_in(self, batch: list[ShortMember]) -> None:
        taken = await self._short.take_in(batch)
        self._files += taken.files
        self._size += taken.size
        self._here += taken.here

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
        await self._addresses.save(member, entries)

    async def _settle(self) -> None:
        """Wait for what is being stored. Raises what the first of it failed with."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._failed is not None:
            raise self._failed

    async def _done(self, members: MemberTable) -> None:
        await self._settle()
        for member in members:
            if member.elsewhere:
                await self._take_elsewhere(member)
        await self._addresses.finish()

    async def _take_elsewhere(self, member: BundleMember) -> None:
        """Save the entries of a body that an earlier bundle brought; without it they mean nothing."""
        entries = known(member, self._clock.now())
        blob = self._store.blob(Digest("sha256", member.sha256))
        if blob is None:
            if await self._addresses.save(member, entries):
                self._missing += 1
                self._named += [member.path] if len(self._named) < _NAMED else []
            return
        hashes = BodyHashes(member)
        if not hashes.named:
            with self._store.lease(blob) as descriptor:
                await self._hashing.run(_hash, descriptor, hashes)
        hashes.check(blob.digest.value if hashes.named else None)
        self._here += bool(member.entries)
        await self._addresses.save(member, entries)


def _hash(descriptor: int, hashes: BodyHashes) -> None:
    position = 0
    while piece := os.pread(descriptor, _PIECE, position):
        hashes.update([piece])
        position += len(piece)
