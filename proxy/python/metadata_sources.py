"""The METADATA of one wheel, read from a source: the stored wheel, upstream's own file, the end of the zip, the wheel.

Called by `metadata`, which decides when each source is tried. What is read has the digest that the page promises, or is
complete as far as can be told without one. Never stores anything but a wheel that was fetched whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from proxy.cache.bodies import Budget, Claim
from proxy.cache.downloads import Downloads
from proxy.cache.flight import Location, WantedFile
from proxy.cache.passthrough import Passthrough
from proxy.cache.workers import Workers
from proxy.errors import StoreError, UpstreamBroken, UpstreamTimeout, WrongBytes
from proxy.model import Blob, Digest, Kind
from proxy.ports import BlobReader
from proxy.python import wheel
from proxy.python.attachments import metadata_url
from proxy.python.wheel import Unreadable

_MOST = 16 << 20  # bytes of a METADATA file
_TOGETHER = 32 << 20  # bytes: all that are read at the same time hold at most twice this
_PATIENCE = 8.0  # seconds for the head of a response to a range request: a host that is silent may give the whole
_SMALL = 256 << 10  # bytes of one that is unpacked without reserving memory
_HEADERS = re.compile(
    rb"(?:[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+(?=\n|\Z)"
)  # core metadata has headers like an e-mail


class WheelRead(NamedTuple):
    """A wheel that is read: its file name, the digest of its metadata if a page promises one, and the memory in use."""

    wanted: WantedFile
    name: str
    digest: Digest | None
    claim: Claim


def is_metadata(body: bytes) -> bool:
    """Whether this can be a complete metadata file: headers up to their end, with a name and a version."""
    match = _HEADERS.match(body.replace(b"\r\n", b"\n"))
    headers = match[0].lower() if match is not None else b""
    return headers.startswith(b"metadata-version:") and b"\nname:" in headers and b"\nversion:" in headers


def agrees(body: bytes, digest: Digest | None) -> bool:
    """Whether metadata has the promised digest, if there is one."""
    return digest is None or hashlib.new(digest.algorithm, body, usedforsecurity=False).hexdigest() == digest.value


class MetadataSources:
    """Reads metadata, in threads of its own. Mutable state: the memory that is in use."""

    def __init__(self, blobs: BlobReader, downloads: Downloads) -> None:
        self._blobs = blobs
        self._downloads = downloads
        self._unpacking = Workers("wheels", 2)
        self._budget = Budget(_TOGETHER)

    @contextmanager
    def subject(self, wanted: WantedFile, name: str, digest: Digest | None) -> Iterator[WheelRead]:
        """Begin to read a wheel. The memory that it takes is counted until the end of the block."""
        with self._budget.claim() as claim:
            yield WheelRead(wanted, name, digest, claim)

    async def close(self) -> None:
        """End the threads."""
        await self._unpacking.close()

    async def stored(self, blob: Blob, subject: WheelRead) -> bytes:
        """The METADATA of a stored wheel. Raises Unreadable, WithoutMetadata, BlobDamaged, StoreBroken."""
        with self._blobs.lease(blob) as descriptor:
            return await self._unpacked(partial(_from_descriptor, descriptor), subject)

    async def own_file(self, subject: WheelRead, key: str) -> bytes:
        """Upstream's own metadata file. Raises WrongBytes if it is not complete, and what `pass_through` raises."""
        wanted = subject.wanted
        others = tuple(Location(metadata_url(location.url), location.site) for location in wanted.others)
        file = WantedFile(key, metadata_url(wanted.url), wanted.site, subject.digest, others=others, kind=Kind.METADATA)
        passthrough = await self._downloads.pass_through(file, 0, None)
        body = await self._read(passthrough, subject)
        if subject.digest is None and not (passthrough.framed and is_metadata(body)):
            raise WrongBytes("Upstream's metadata file is not one, or not all of it.")
        return _agreed(body, subject)

    async def by_parts(self, subject: WheelRead) -> bytes:
        """From the end of the zip, by range requests. Raises WrongBytes, and what `Downloads.pass_through` raises."""
        passthrough = await _end(self._downloads, subject.wanted)
        assert passthrough.size is not None, "a 206 says the size of the whole"
        window = wheel.Window(passthrough.size)
        while True:
            window.add(passthrough.start, await self._read(passthrough, subject))
            try:
                return _agreed(await self._unpacked(partial(_from_window, window), subject), subject)
            except wheel.NeedBytes as need:
                passthrough = await _part(self._downloads, subject.wanted, need.start, need.end)

    async def by_whole(self, subject: WheelRead, *, plain: bool = False) -> bytes:
        """From the whole wheel, which is fetched and stored. `plain`: its host honours no ranges.

        Raises what `Downloads.open` does, and StoreError if it has no room.
        """
        body, _ = await self._downloads.open(subject.wanted, plain=plain)
        if isinstance(body, Passthrough):
            await body.close()
            raise StoreError("The disk has no room for the wheel whose metadata is asked for.")
        if isinstance(body, Blob):
            return _agreed(await self.stored(body, subject), subject)
        with body.share() as descriptor:
            await body.ended()
            return _agreed(await self._unpacked(partial(_from_descriptor, descriptor), subject), subject)

    async def _unpacked(self, read: Callable[[str, int], bytes], subject: WheelRead) -> bytes:
        """What `read` finds in a wheel, given its name and how many bytes of memory it may take."""
        try:
            return await self._unpacking.run(read, subject.name, _SMALL)
        except wheel.NeedRoom as need:
            room = need.size
        await self._budget.grow(subject.claim, room)
        return await self._unpacking.run(read, subject.name, room)

    async def _read(self, passthrough: Passthrough, subject: WheelRead) -> bytes:
        """All of a short body."""
        body = io.BytesIO()
        try:
            async for chunk in passthrough.chunks():
                if body.tell() + len(chunk) > _MOST:
                    raise WrongBytes("Upstream sent far more than a metadata file has.")
                await self._budget.grow(subject.claim, len(chunk))
                body.write(chunk)
        finally:
            await passthrough.close()
        return body.getvalue()


def _from_window(window: wheel.Window, name: str, room: int) -> bytes:
    return wheel.read_metadata(io.BufferedReader(window, 1 << 10), name, room)


def _from_descriptor(descriptor: int, name: str, room: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        try:
            return wheel.read_metadata(file, name, room)
        except WrongBytes as error:
            raise Unreadable(str(error)) from error  # the wheel is complete: another try changes nothing


async def _end(downloads: Downloads, wanted: WantedFile) -> Passthrough:
    """The end of a wheel, which has its directory: by the size on the page, or as its last bytes."""
    if wanted.size is not None:
        try:
            return await _part(downloads, wanted, *wheel.first_range(wanted.size))
        except (UpstreamBroken, WrongBytes):
            pass  # the size on the page is wrong
    try:
        return await _part(downloads, wanted, -wheel.FIRST, None)
    except UpstreamBroken:  # some servers honour only ranges with a beginning
        size = (await downloads.probe(wanted)).size
    assert size is not None, "a 206 says the size of the whole"
    return await _part(downloads, wanted, *wheel.first_range(size))


async def _part(downloads: Downloads, wanted: WantedFile, start: int, end: int | None) -> Passthrough:
    """A part of a wheel. Raises UpstreamTimeout if its host is silent for a while."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await downloads.pass_through(wanted, start, end)
    except TimeoutError:
        raise UpstreamTimeout("Upstream says nothing when it is asked for a part of a file.") from None


def _agreed(body: bytes, subject: WheelRead) -> bytes:
    if not agrees(body, subject.digest):
        raise WrongBytes("The metadata of a wheel has not the hash that the index promises.")
    return body
