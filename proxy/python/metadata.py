"""A wheel's METADATA beside the wheel (PEP 658, PEP 714), whether or not upstream offers it.

In this order: the stored one, the wheel on disk, upstream's `.metadata` file, the end of the wheel's zip by ranged
reads upstream, the wheel fetched whole; none is used that has not the hash that the page promises. So a page may
truthfully offer metadata for every wheel, and resolving against a poor index costs kilobytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Awaitable
from urllib.parse import urlsplit, urlunsplit

from proxy.cache.downloads import Downloads
from proxy.cache.flight import Flight, Place, Wanted
from proxy.cache.flights import Flights
from proxy.cache.following import landing
from proxy.cache.passage import Passage
from proxy.cache.workers import Workers
from proxy.errors import (
    BlobDamaged,
    NotFound,
    StoreError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamError,
    WrongBytes,
)
from proxy.model import Blob, Digest, Entry, Kind, Source, Validator
from proxy.ports import Clock, Store
from proxy.python import wheel

_log = logging.getLogger(__name__)

Advertised = Digest | bool | None  # what upstream's page says of a wheel's metadata: a digest, true, or nothing

_MOST = 16 << 20  # bytes of a METADATA file
_MISSES = 3  # wheels in a row without a metadata file after which a host is not asked for one,
_AGAIN = 50  # but for every so many wheels
_ABSENT = (NotFound, UpstreamDenied, UpstreamBroken, WrongBytes)  # upstream has no such file, or none of use


def beside(url: str) -> str:
    """The address of a distribution's metadata file: `.metadata` behind its path, whatever query it has."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path}.metadata", fragment=""))


class Metadata:
    """Provides metadata files. Mutable state: the extractions under way, and the hosts that have no such files."""

    def __init__(self, store: Store, downloads: Downloads, clock: Clock) -> None:
        self._store = store
        self._downloads = downloads
        self._clock = clock
        self._flights: Flights[tuple[bytes | Blob, bool]] = Flights()
        self._unpacking = Workers("wheels", 2)
        self._misses: dict[str, int] = {}  # by mount and host: wheels since one had a metadata file

    async def get(self, key: str, whl: Wanted, name: str, advertised: Advertised) -> tuple[bytes | Blob, Source]:
        """The metadata of the wheel `name`, and where it came from.

        `advertised` is what upstream's page says: a digest, true, or nothing. Raises NotFound when the wheel is not
        there, WrongBytes when it is no wheel, or another UpstreamError.
        """
        task, began = self._flights.join(key, lambda: self._provide(key, whl, name, advertised))
        body, fetched = await self._flights.result(task)
        return body, (Source.UPSTREAM if began else Source.SHARED) if fetched else Source.CACHE

    async def close(self) -> None:
        """Break off the work under way."""
        await self._flights.close()
        await self._unpacking.close()

    async def _provide(self, key: str, whl: Wanted, name: str, advertised: Advertised) -> tuple[bytes | Blob, bool]:
        """The metadata, and whether upstream was asked for it now."""
        digest = advertised if isinstance(advertised, Digest) else None
        stored = await self._downloads.kept(whl)
        if stored is not None:
            with contextlib.suppress(BlobDamaged, NotFound, WrongBytes):
                body = await self._unpacking.run(self._from_disk, stored, name)
                if _agrees(body, digest):
                    return await self._keep(key, whl, body, digest), False
        if not advertised and self._misses.get(_host(whl)) != 0:
            return await self._either(key, whl, name), True
        try:
            return await self._probe(key, whl, digest)
        except _ABSENT:
            # A file that is advertised and not there ends a whole installation of pip: the wheel has it too.
            body = await self._extract(whl, name)
            if not _agrees(body, digest):
                raise
        return await self._keep(key, whl, body, digest), True

    async def _either(self, key: str, whl: Wanted, name: str) -> bytes | Blob:
        """Metadata that no page offers, of a host that is not known to have it: its file and the wheel's end at once.

        One round trip in place of two. A host that lately had no such files is hardly asked for them any more.
        """
        misses = self._misses.get(_host(whl), 0)
        looking = asyncio.create_task(self._ranged(whl, name), name="end of a wheel")
        try:
            if misses < _MISSES or not misses % _AGAIN:
                with contextlib.suppress(*_ABSENT):
                    found, _ = await self._probe(key, whl, None)
                    self._misses[_host(whl)] = 0
                    return found
            body = await self._extract(whl, name, looking)
            self._misses[_host(whl)] = self._misses.get(_host(whl), 0) + 1
            return await self._keep(key, whl, body)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _probe(self, key: str, whl: Wanted, digest: Digest | None) -> tuple[bytes | Blob, bool]:
        """Upstream's own metadata file."""
        others = tuple(Place(beside(place.url), place.site) for place in whl.others)
        wanted = Wanted(key, beside(whl.url), whl.site, digest, binary=True, others=others, kind=Kind.METADATA)
        if digest is not None:
            body, began = await self._downloads.open(wanted)
            if isinstance(body, Flight):
                return await self._landed(body), began
            return body if isinstance(body, Blob) else await _read(body), began
        passage = await self._downloads.past(wanted, 0, None)
        body_bytes = await _read(passage)
        if not body_bytes.startswith(b"Metadata-Version:"):
            raise WrongBytes("Upstream's metadata file is not one.")
        return await self._keep(key, whl, body_bytes), True

    @staticmethod
    async def _landed(flight: Flight) -> bytes:
        """Wait for a small file: metadata is answered whole or not at all."""
        with flight.share() as descriptor:
            await landing(flight)
            assert flight.size is not None, "a verified flight has a size"
            if flight.size > _MOST:
                raise WrongBytes("Upstream's metadata file is too large to be one.")
            return os.pread(descriptor, flight.size, 0)

    def _from_disk(self, blob: Blob, name: str) -> bytes:
        with self._store.lease(blob) as descriptor:
            return _from_descriptor(descriptor, name)

    async def _extract(self, whl: Wanted, name: str, ranged: Awaitable[bytes] | None = None) -> bytes:
        """Read the wheel's zip directory and its METADATA by ranges, or else out of the whole wheel.

        `ranged`: what reads by ranges, if that has begun.
        """
        flight = self._downloads.running(whl)
        if ranged is not None or flight is None or not flight.over:
            try:
                return await (ranged or self._ranged(whl, name))
            except UpstreamError as error:
                if isinstance(error, NotFound | WrongBytes):
                    raise
                _log.info("no ranged reads of a wheel", extra={"upstream": whl.site.mount, "reason": str(error)})
        body, _ = await self._downloads.open(whl)
        if isinstance(body, Passage):
            await body.close()
            raise StoreError("The disk has no room for the wheel whose metadata is asked for.")
        if isinstance(body, Flight):
            with body.share() as descriptor:
                await landing(body)
                return await self._unpacking.run(_from_descriptor, descriptor, name)
        return await self._unpacking.run(self._from_disk, body, name)

    async def _ranged(self, whl: Wanted, name: str) -> bytes:
        passage = await self._end(whl)
        assert passage.size is not None, "a 206 says the size of the whole"
        window = wheel.Window(passage.size)
        while True:
            window.add(passage.start, await _read(passage))
            try:
                return wheel.read_metadata(io.BufferedReader(window, 1 << 10), name)
            except wheel.NeedBytes as need:
                passage = await self._downloads.past(whl, need.start, need.end)

    async def _end(self, whl: Wanted) -> Passage:
        """The end of a wheel, where its directory is."""
        size = whl.size
        if size is None:
            try:
                return await self._downloads.past(whl, -wheel.FIRST, None)
            except UpstreamBroken:  # some honour only ranges that say where they begin
                size = (await self._downloads.probe(whl)).size
        assert size is not None, "a 206 says the size of the whole"
        return await self._downloads.past(whl, *wheel.first_range(size))

    async def _keep(self, key: str, whl: Wanted, body: bytes, promised: Digest | None = None) -> bytes | Blob:
        now = self._clock.now()
        try:
            blob = await self._store.put(body)
            of = Validator(str(whl.digest) if whl.digest is not None else None)
            url, kind = beside(whl.url), "text/plain"
            entry = Entry(key, url, blob.digest, blob.size, kind, of, now, now, promised, whl.proved)
            await self._store.save(entry)
        except StoreError as error:
            _log.warning("metadata not kept", extra={"reason": str(error)})
            return body
        return blob


def _from_descriptor(descriptor: int, name: str) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return wheel.read_metadata(file, name)


def _host(whl: Wanted) -> str:
    return f"{whl.site.mount} {urlsplit(whl.url).netloc}"


def _agrees(body: bytes, digest: Digest | None) -> bool:
    return digest is None or hashlib.new(digest.algorithm, body, usedforsecurity=False).hexdigest() == digest.value


async def _read(passage: Passage) -> bytes:
    """A small body, whole."""
    try:
        parts: list[bytes] = []
        size = 0
        async for chunk in passage.chunks():
            size += len(chunk)
            if size > _MOST:
                raise WrongBytes("Upstream sent far more than a metadata file has.")
            parts.append(chunk)
        return b"".join(parts)
    finally:
        await passage.close()
