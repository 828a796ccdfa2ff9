"""What is known of addresses: rows of the index, and the lately used ones in memory before them.

An entry lives and dies with its blob: it is not written without one, and goes with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from proxy.errors import StoreBroken, StoreError
from proxy.model import Digest, Entry
from proxy.storage.blobs import Record
from proxy.storage.failures import DISK_ERRORS, Place
from proxy.storage.holdings import Holdings

_REMEMBERED = 20_000
_decoder = msgspec.json.Decoder(Entry)


def decode(key: str, text: bytes) -> Entry | None:
    """The entry of a row. None where the text is damaged, or is another key's: bytes of A never answer for B."""
    try:
        entry = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    promised = entry.promised
    sound = promised is None or Digest.parse(str(promised)) == promised  # it gets into answers, as a validator
    return entry if sound and entry.key == key and entry.digest.algorithm == "sha256" else None


class Entries:
    """The entries. Changed on the event loop only; each change of the index is the caller's to finish."""

    def __init__(
        self,
        holdings: Holdings,
        drop: Callable[[Record], Awaitable[None]],
        background: Callable[[Coroutine[Any, Any, None]], None],
        remembered: int = _REMEMBERED,
    ) -> None:
        self._index = holdings.index
        self._blobs = holdings.blobs
        self._threads = holdings.threads
        self._drop = drop
        self._background = background
        self._remembered = remembered
        # With the record that each one's blob had: another record is another blob, even of the same digest.
        self._memory: OrderedDict[str, tuple[Entry, Record]] = OrderedDict()
        self._readable = True
        self._saving: dict[str, int] = {}  # by sha256: entries on their way to the index

    def find(self, key: str) -> Entry | None:
        """See `ports.Store`."""
        known = self._memory.get(key)
        if known is not None:
            entry, record = known
            if self._blobs.holds(record):
                self._memory.move_to_end(key)
                return None if record.hidden else entry
            del self._memory[key]
        return self._read(key) if self._readable else None

    def _read(self, key: str) -> Entry | None:
        try:
            text = self._index.peek(key)
        except DISK_ERRORS as error:
            self._threads.failed(error, Place.INDEX)
            return None
        if text is None:
            return None
        entry = decode(key, text)
        record = self._blobs.get(entry.digest.value) if entry else None
        if entry is None or (record is not None and record.size != entry.size):
            self._background(self.forget(key))
            return None
        if record is None:
            return None
        self._remember(entry, record)
        return None if record.hidden else entry

    def _remember(self, entry: Entry, record: Record) -> None:
        self._memory[entry.key] = entry, record
        self._memory.move_to_end(entry.key)
        if len(self._memory) > self._remembered:
            self._memory.popitem(last=False)

    @contextmanager
    def in_memory_only(self) -> Generator[None]:
        """Do not read the index meanwhile: it is being made anew."""
        self._readable = False
        try:
            yield
        finally:
            self._readable = True

    def known(self) -> list[tuple[str, bytes, str]]:
        """The entries in memory whose blobs are here, as `Index.save` takes them."""
        return [
            (entry.key, msgspec.json.encode(entry), record.value)
            for entry, record in self._memory.values()
            if self._blobs.holds(record)
        ]

    def keys(self, prefix: str) -> Sequence[str]:
        """See `ports.Store`."""
        if not self._readable:
            return sorted(key for key in self._memory if key.startswith(prefix))
        try:
            return self._index.keys(prefix)
        except DISK_ERRORS as error:
            self._threads.failed(error, Place.INDEX)
            return []

    async def save(self, entry: Entry) -> None:
        """See `ports.Store`."""
        value = entry.digest.value
        if self._blobs.get(value) is None:
            return  # evicted since: the entry would name nothing
        self._saving[value] = self._saving.get(value, 0) + 1
        try:
            before = await self._write(self._index.save, entry.key, msgspec.json.encode(entry), value)
        finally:
            self._saving[value] -= 1
            if not self._saving[value]:
                del self._saving[value]
        record = self._blobs.get(value)
        if record is not None:
            self._remember(entry, record)
        await self._drop_unnamed(before)

    async def forget(self, key: str) -> None:
        """See `ports.Store`."""
        self._memory.pop(key, None)
        before = await self._write(self._index.forget, key)
        self._memory.pop(key, None)  # it may have been read in between
        await self._drop_unnamed(before)

    async def _write(self, work: Callable[..., str | None], *args: object) -> str | None:
        try:
            return await self._threads.index(work, *args)
        except StoreError as error:
            raise StoreBroken(str(error)) from error

    async def _drop_unnamed(self, value: str | None) -> None:
        """Drop a blob that no entry names, unless one is about to. One that is read now is the next to be evicted."""
        record = self._blobs.get(value) if value else None
        if record is None or record.value in self._saving:
            return
        if record.leases:
            self._blobs.demote(record)
        else:
            await self._drop(record)
