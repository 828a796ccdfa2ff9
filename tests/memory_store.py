"""`ports.Store` in memory, for tests of those who use a store. Passes the same contract tests as the disk store.

Bodies are plain bytes; opening one gives an anonymous file with a copy, so that descriptors are real ones.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager

from proxy.cache.extents import Extents
from proxy.errors import BlobDamaged, StoreBroken, StoreError, StoreFull
from proxy.events import Event, Evicted, Stored
from proxy.model import Blob, Digest, Entry
from proxy.ports import Observer, Spool, SpoolState, Store
from tests.system import anonymous_file


def _ignore(_: Event) -> None:
    """What an observer does that nobody listens to."""


class _Held:
    def __init__(self, body: bytes, digest: Digest) -> None:
        self.body = body
        self.blob = Blob(digest, len(body), f"/nowhere/{digest.value}")
        self.leases = 0


class MemorySpool:
    """See `ports.Spool`."""

    def __init__(self, store: MemoryStore, name: str, size: int, left: tuple[bytes, SpoolState] | None) -> None:
        body: bytes
        self.state: SpoolState | None
        body, self.state = left or (b"", None)
        self.in_memory = False
        self.fd = anonymous_file(body)
        self.reserved = size
        self.name = name
        self.over = False
        self._store = store
        self._users = 1
        self._body: bytes | None = None  # when the file is closed
        self._checkpoint = self.state
        self._extents = Extents(self.state.extents if self.state else ())

    def left(self) -> tuple[bytes, SpoolState] | None:
        """What a later owner finds."""
        state = self._checkpoint
        return None if state is None else (self.body(), SpoolState(state.size, state.validator, self._extents.ranges))

    def body(self) -> bytes:
        """All bytes of the file."""
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0)

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        self._refuse_if_over()
        self._store.fail_if_set()
        end = offset + sum(map(len, chunks))
        if end > self.reserved:
            self._store.make_room(end - self.reserved)
            self.reserved = end
        os.pwrite(self.fd, b"".join(chunks), offset)
        self._extents = self._extents.add(offset, end)

    async def write_from(self, offset: int, size: int, read: Callable[[memoryview, int], int]) -> None:
        end = offset + size
        while offset < end:
            buffer = bytearray(min(100_000, end - offset))
            count = read(memoryview(buffer), offset)
            await self.write(offset, [bytes(buffer[:count])])
            offset += count

    async def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.fd, size, offset)

    async def checkpoint(self, state: SpoolState) -> None:
        self._refuse_if_over()
        self._checkpoint, self._extents = state, Extents(state.extents)

    async def restart(self) -> None:
        self._refuse_if_over()
        os.ftruncate(self.fd, 0)
        self.state, self._checkpoint, self._extents = None, None, Extents()

    @contextmanager
    def share(self) -> Generator[int]:
        if not self._users:
            if self._body is None:
                raise StoreBroken("The download is over, and its file is gone.")
            self.fd = anonymous_file(self._body)
        self._users += 1
        try:
            yield self.fd
        finally:
            self._let_go()

    async def close(self, *, keep: bool) -> None:
        if not self.over:
            self._store.ended(self, self.left() if keep else None)
            self.end(None)

    def end(self, body: bytes | None) -> None:
        """The owner is done; `body` is what was adopted."""
        self.over = True
        self._body = body
        self._let_go()

    def _let_go(self) -> None:
        self._users -= 1
        if not self._users:
            os.close(self.fd)
            self.fd = -1

    def _refuse_if_over(self) -> None:
        if self.over:
            raise RuntimeError("this spool file was adopted or closed")


class MemoryStore:
    """See `ports.Store`. `limit` in bytes bounds blobs and downloads. `failure`: what every write raises, if set."""

    def __init__(self, limit: int = 1 << 30, observer: Observer = _ignore) -> None:
        self.failure: Callable[[], StoreError] | None = None
        self.spools: dict[str, MemorySpool] = {}
        self._left_over: dict[str, tuple[bytes, SpoolState]] = {}
        self._limit = limit
        self._observer = observer
        self._entries: dict[str, Entry] = {}
        self._blobs: OrderedDict[str, _Held] = OrderedDict()

    def find(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        return entry if entry is not None and entry.digest.value in self._blobs else None

    def stands(self, entry: Entry) -> bool:
        now = self.find(entry.key)
        return now is not None and (now.digest, now.url) == (entry.digest, entry.url)

    def keys(self, prefix: str) -> Sequence[str]:
        return sorted(key for key in self._entries if key.startswith(prefix))

    async def save(self, entry: Entry) -> bool:
        if self.failure is not None or entry.digest.value not in self._blobs:
            return False
        before = self._entries.get(entry.key)
        self._entries[entry.key] = entry
        self._drop_unnamed(before)
        return True

    async def forget(self, key: str) -> None:
        self._drop_unnamed(self._entries.pop(key, None))

    def _drop_unnamed(self, entry: Entry | None) -> None:
        if entry is None or any(other.digest == entry.digest for other in self._entries.values()):
            return
        held = self._blobs.get(entry.digest.value)
        if held is None:
            return
        if held.leases:
            self._blobs.move_to_end(entry.digest.value, last=False)
        else:
            self._drop(entry.digest.value)

    def _drop(self, value: str) -> None:
        del self._blobs[value]
        self._entries = {key: entry for key, entry in self._entries.items() if entry.digest.value != value}
        self._tell()

    def blob(self, digest: Digest) -> Blob | None:
        held = self._blobs.get(digest.value) if digest.algorithm == "sha256" else None
        if held is None:
            return None
        self._blobs.move_to_end(digest.value)
        return held.blob

    def has(self, digest: Digest) -> bool:
        return digest.algorithm == "sha256" and digest.value in self._blobs

    def lease(self, blob: Blob) -> AbstractContextManager[int]:
        return self._lease(blob)

    @contextmanager
    def _lease(self, blob: Blob) -> Generator[int]:
        held = self._blobs.get(blob.digest.value)
        if held is None:
            raise BlobDamaged("The file is not stored any more.")
        if _sha256(held.body) != blob.digest.value:
            self._drop(blob.digest.value)
            raise BlobDamaged("The stored file is not what was stored; it was dropped.")
        held.leases += 1
        descriptor = anonymous_file(held.body)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
            held.leases -= 1

    def recheck(self, blob: Blob) -> None:
        held = self._blobs.get(blob.digest.value)
        if held is not None and _sha256(held.body) != blob.digest.value:
            self._drop(blob.digest.value)

    async def spool(self, name: str, size: int | None, *, brief: bool = False) -> Spool:
        self.fail_if_set()
        if name in self.spools:
            raise RuntimeError("a download of this name is under way")
        left = self._left_over.pop(name, None)
        need = max(size or 0, _length(left))
        try:
            self.make_room(need)
        except StoreFull:
            if left:
                self._left_over[name] = left
            raise
        spool = self.spools[name] = MemorySpool(self, name, need, left)
        spool.in_memory = brief and not left
        return spool

    def ended(self, spool: MemorySpool, left: tuple[bytes, SpoolState] | None) -> None:
        """The owner of a spool is done with it; `left` is for the next one."""
        del self.spools[spool.name]
        if left:
            self._left_over[spool.name] = left

    def damage(self, digest: Digest, body: bytes) -> None:
        """Let the disk have other bytes where this blob was."""
        self._blobs[digest.value].body = body

    def make_room(self, need: int) -> None:
        """Evict until `need` bytes more fit. Raises StoreFull, and then nothing was evicted."""
        used = sum(held.blob.size for held in self._blobs.values())
        used += sum(spool.reserved for spool in self.spools.values()) + sum(map(_length, self._left_over.values()))
        short = used + need - self._limit
        if short > 0:
            short -= sum(map(_length, self._left_over.values()))
        victims: list[str] = []
        for value, held in self._blobs.items():
            if short <= 0:
                break
            if not held.leases:
                victims.append(value)
                short -= held.blob.size
        if short > 0:
            raise StoreFull("No room below the bound.")
        if used + need > self._limit:
            self._left_over.clear()
        for value in victims:
            size = self._blobs[value].blob.size
            self._drop(value)
            self._observer(Evicted(size))

    async def adopt(self, spool: Spool, digest: Digest, size: int) -> Blob | None:
        if not isinstance(spool, MemorySpool):
            raise TypeError("a spool file is adopted by the store that made it")
        body = spool.body()[:size]
        self.ended(spool, None)
        if self.failure is not None:
            spool.end(None)
            return None
        spool.end(body)
        return self._keep(body, digest)

    async def put(self, body: bytes) -> Blob | None:
        if self.failure is not None:
            return None
        value = _sha256(body)
        if value not in self._blobs:
            try:
                self.make_room(len(body))
            except StoreFull:
                return None
        return self._keep(body, Digest("sha256", value))

    async def put_all(self, bodies: Sequence[tuple[str, bytes]]) -> bool:
        for sha256, body in bodies:
            assert sha256 == _sha256(body), "the caller has checked it"
            if await self.put(body) is None:
                return False
        return True

    def _keep(self, body: bytes, digest: Digest) -> Blob:
        held = self._blobs.setdefault(digest.value, _Held(body, digest))
        self._blobs.move_to_end(digest.value)
        self._tell()
        return held.blob

    def fail_if_set(self) -> None:
        """Raise what the test set."""
        if self.failure is not None:
            raise self.failure()

    def _tell(self) -> None:
        self._observer(Stored(sum(held.blob.size for held in self._blobs.values()), len(self._blobs)))


async def stored(store: Store, body: bytes) -> Blob:
    """Store a body that there is room for."""
    blob = await store.put(body)
    assert blob is not None, "the disk took it"
    return blob


def _length(left: tuple[bytes, SpoolState] | None) -> int:
    return len(left[0]) if left else 0


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
