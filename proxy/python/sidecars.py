"""What was made of a stored page and lies beside it in the store: its outline, its rendered forms.

A sidecar is a blob with an entry of its own. Its header says what it was made of and by which version, so that one of
an earlier page is never believed; the store proves its bytes. It can be made again at any time: so it is written when
clients ask for no more pages, one after another, not at all where that would take much memory, and evicted like any
other blob. Used by `outlines` and `rendered_pages`. Never makes anything itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from proxy import version
from proxy.errors import BlobDamaged, PullthroughError, StoreError
from proxy.model import Blob, Entry, Validator
from proxy.ports import Clock, Store
from proxy.python.parsed_pages import PageWork

F = TypeVar("F")
T = TypeVar("T")
Made: TypeAlias = tuple[Any, bytes]  # the facts in the header, and the rest

WORTH = 16 << 10  # bytes of a page: of a shorter one everything is made in less time than it is read
_LENGTH = struct.Struct("<I")  # of the header, which comes behind it
_FIRST = 1024  # bytes that are read at first: most headers
_MOST = 1000  # that wait to be written
_BYTES = 48 << 20  # of all that wait
_MUCH = 32 << 20  # of them that wait for no quiet
_QUIET = 3.0  # seconds without another one, after which they are written
_LOOK = 0.5  # seconds after which it is looked whether too many wait
_CLOSING = 3.0  # seconds that the end waits for what is being written
_TYPE = "application/octet-stream"


class _Header(msgspec.Struct, frozen=True, array_like=True):
    by: str  # the version of this program
    made_of: str
    facts: msgspec.Raw


_header = msgspec.msgpack.Decoder(_Header)


@dataclass(frozen=True, slots=True)
class _Unwritten:
    page: Entry
    made_of: str
    size: int
    held: int
    make: Callable[[], Made]


class Sidecar(Generic[F]):
    """One that is open for reading. `facts`: what its header says besides; `size`: bytes behind the header."""

    def __init__(self, descriptor: int, facts: F, start: int, size: int) -> None:
        self.facts = facts
        self.size = size
        self._descriptor = descriptor
        self._start = start

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from `offset` on. Raises OSError, BlobDamaged if they are not there."""
        found = os.pread(self._descriptor, size, self._start + offset)
        if len(found) != size:
            raise BlobDamaged("A stored file is shorter than it was.")
        return found


class Sidecars:
    """Finds, reads and writes them. Mutable state: those that wait to be written, by key, and who writes them."""

    def __init__(self, store: Store, work: PageWork, clock: Clock) -> None:
        self._store = store
        self._work = work
        self._clock = clock
        self._by = version()
        self._waiting: dict[str, _Unwritten] = {}
        self._bytes = 0
        self._last = 0.0  # when the last one of them came, in seconds of the event loop
        self._hurry = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def find(self, page: Entry, key: str) -> Blob | None:
        """The sidecar of a stored page with this key, which may be that of another page. Both count as used."""
        entry = self._store.find(key)
        if entry is None or self._store.blob(page.digest) is None:
            return None
        return self._store.blob(entry.digest)

    def read(self, blob: Blob, made_of: str, facts: type[F], use: Callable[[Sidecar[F]], T]) -> T | None:
        """What `use` makes of a sidecar. None if it was made of something else, or cannot be read. In any thread."""
        try:
            with self._store.lease(blob) as descriptor:
                head = os.pread(descriptor, _FIRST, 0)
                (length,) = _LENGTH.unpack_from(head)
                start = _LENGTH.size + length
                if start > blob.size:
                    return None
                if start > len(head):
                    head = os.pread(descriptor, start, 0)
                header = _header.decode(memoryview(head)[_LENGTH.size : start])
                if (header.by, header.made_of) != (self._by, made_of):
                    return None
                found = msgspec.msgpack.decode(header.facts, type=facts)
                return use(Sidecar(descriptor, found, start, blob.size - start))
        except (OSError, BlobDamaged):
            self._store.recheck(blob)
        except (StoreError, struct.error, msgspec.DecodeError):
            pass
        return None  # it is made anew, in its place

    def body_of(self, page: Entry) -> Callable[[], bytes]:
        """What reads the body of a stored page, in any thread. It raises BlobDamaged, StoreBroken, OSError."""
        blob = self._store.blob(page.digest)

        def read() -> bytes:
            if blob is None:
                raise BlobDamaged("The stored copy is gone.")
            with self._store.lease(blob) as descriptor:
                return os.pread(descriptor, blob.size, 0)

        return read

    def write_soon(  # noqa: PLR0913, PLR0917 what it is, and how much of it
        self, page: Entry, key: str, made_of: str, size: int, make: Callable[[], Made], held: int | None = None
    ) -> None:
        """Have what `make` gives stored as a sidecar of a page, if that page is stored.

        `size`: bytes, about, that are made. `make` is called in a thread if they are many. `held`: bytes of memory that
        it holds until then; else as many.
        """
        self._taken(key)
        held = size if held is None else held
        crowded = len(self._waiting) >= _MOST or (self._waiting and self._bytes + held > _BYTES)
        if crowded or not self._store.stands(page):
            return  # it is made when it is missed again
        self._waiting[key] = _Unwritten(page, made_of, size, held, make)
        self._bytes += held
        self._last = asyncio.get_running_loop().time()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="sidecars")

    async def settled(self) -> None:
        """Write at once what waits, until nothing does."""
        self._hurry.set()
        while self._writer is not None:
            await asyncio.wait((self._writer,))
        self._hurry.clear()

    async def close(self) -> None:
        """Write what waits, as far as that takes a moment, and drop the rest."""
        self._hurry.set()
        if self._writer is not None:
            writer = self._writer
            await asyncio.wait((writer,), timeout=_CLOSING)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._quiet()
                key = next(iter(self._waiting), None)
                if key is None:
                    break  # what waited was taken away meanwhile
                unwritten = self._taken(key)
                if unwritten is not None:
                    await self._write(key, unwritten)
        finally:
            self._writer = None

    def _taken(self, key: str) -> _Unwritten | None:
        """What waited under this key, and waits no more."""
        unwritten = self._waiting.pop(key, None)
        self._bytes -= unwritten.held if unwritten is not None else 0
        return unwritten

    async def _quiet(self) -> None:
        """Wait until no page has come for a while: a client that resolves asks for many, one after another."""
        loop = asyncio.get_running_loop()
        while not self._hurry.is_set() and self._bytes <= _MUCH and len(self._waiting) <= _MOST // 2:
            left = self._last + _QUIET - loop.time()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK)):
                    await self._hurry.wait()

    async def _write(self, key: str, unwritten: _Unwritten) -> None:
        page = unwritten.page
        if not self._store.stands(page):
            return
        try:
            async with self._work.turn(page):
                body = await self._work.run(unwritten.size, partial(self._made, unwritten.made_of, unwritten.make))
        except (PullthroughError, OSError):  # the page, from which it is made, cannot be read
            return
        blob = await self._store.put(body) if self._store.stands(page) else None
        if blob is not None and self._store.stands(page):
            now = self._clock.now()
            await self._store.save(Entry(key, page.url, blob.digest, blob.size, _TYPE, Validator(), now, now))

    def _made(self, made_of: str, make: Callable[[], Made]) -> bytes:
        facts, rest = make()
        header = msgspec.msgpack.encode(_Header(self._by, made_of, msgspec.Raw(msgspec.msgpack.encode(facts))))
        return b"".join((_LENGTH.pack(len(header)), header, rest))
