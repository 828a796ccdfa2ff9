"""What was made of a stored page and lies beside it in the store: its outline, its rendered forms.

A sidecar is a blob with an entry of its own. Its header says what it was made of and by which version, so that one of
an earlier page is never believed; the store proves its bytes. It can be made again at any time: so it is written behind
the answers that it is made for, not at all where that would take much memory, and evicted like any other blob. Used by
`outlines` and `rendered_pages`. Never makes anything itself.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from proxy import version
from proxy.errors import BlobDamaged, StoreError
from proxy.model import Blob, Entry, Validator
from proxy.ports import Clock, Store
from proxy.python.parsed_pages import PageWork

F = TypeVar("F")
T = TypeVar("T")

WORTH = 16 << 10  # bytes of a page: of a shorter one everything is made in less time than it is read
_LENGTH = struct.Struct("<I")  # of the header, which comes behind it
_FIRST = 1024  # bytes that are read at first: most headers
_AT_ONCE = 32  # that wait to be written
_BYTES = 32 << 20  # of the pages of those that wait
_CLOSING = 1.0  # seconds that the end waits for what is being written
_TYPE = "application/octet-stream"


class _Header(msgspec.Struct, frozen=True, array_like=True):
    by: str  # the version of this program
    made_of: str
    facts: msgspec.Raw


_header = msgspec.msgpack.Decoder(_Header)


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
    """Finds, reads and writes them. Mutable state: those that are being written, with the bytes of their pages."""

    def __init__(self, store: Store, work: PageWork, clock: Clock) -> None:
        self._store = store
        self._work = work
        self._clock = clock
        self._by = version()
        self._writing: dict[str, tuple[asyncio.Task[None], int]] = {}

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

    def write_soon(self, page: Entry, key: str, made_of: str, make: Callable[[], tuple[Any, bytes]]) -> None:
        """Have what `make` gives, the facts and the rest, stored as a sidecar of a page, if that page is.

        `make` is called in a thread if the page is long.
        """
        waiting = sum(size for _, size in self._writing.values())
        crowded = len(self._writing) >= _AT_ONCE or (waiting and waiting + page.size > _BYTES)
        if key in self._writing or crowded or not self._stands(page):
            return  # it is made when it is missed again
        task = asyncio.create_task(self._write(page, key, made_of, make), name=f"sidecar {key}")
        self._writing[key] = task, page.size
        task.add_done_callback(lambda _: self._writing.pop(key))

    async def settled(self) -> None:
        """Wait until nothing is being written."""
        while self._writing:
            await asyncio.wait([task for task, _ in self._writing.values()])

    async def close(self) -> None:
        """Break off what is being written, but for what takes a moment only."""
        tasks = [task for task, _ in self._writing.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSING)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, page: Entry, key: str, made_of: str, make: Callable[[], tuple[Any, bytes]]) -> None:
        async with self._work.turn(page):
            body = await self._work.run(page.size, partial(self._made, made_of, make))
        if not self._stands(page):
            return
        blob = await self._store.put(body)
        if blob is not None and self._stands(page):
            now = self._clock.now()
            await self._store.save(Entry(key, page.url, blob.digest, blob.size, _TYPE, Validator(), now, now))

    def _made(self, made_of: str, make: Callable[[], tuple[Any, bytes]]) -> bytes:
        facts, rest = make()
        header = msgspec.msgpack.encode(_Header(self._by, made_of, msgspec.Raw(msgspec.msgpack.encode(facts))))
        return b"".join((_LENGTH.pack(len(header)), header, rest))

    def _stands(self, page: Entry) -> bool:
        """Whether a page is the one that is stored at its address."""
        now = self._store.find(page.key)
        return now is not None and (now.digest, now.url) == (page.digest, page.url)
