"""What the room of archives is tested with: store and upstream in memory, a clock that a test moves, a publisher."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.policy import Policy
from proxy.apt.service import AptArchives
from proxy.cache.bodies import Bodies
from proxy.cache.documents import Documents
from proxy.cache.downloads import Body, Downloads
from proxy.cache.flight import Flight, follow
from proxy.cache.freshness import Patience
from proxy.cache.lanes import Lanes
from proxy.cache.passthrough import Passthrough
from proxy.cache.revalidation import Revalidator
from proxy.cache.workers import Workers
from proxy.events import Event
from tests.archive import signature, signed
from tests.cache.conftest import HandClock, documents_of
from tests.memory_store import MemoryStore
from tests.memory_upstream import MemoryUpstream, Scripted

SUITE = ArchiveAddress("http", "deb.example", "debian/dists/stable/")
SITE = Policy().site_of(SUITE)
WALL = 1_800_000_000.0
OLD = WALL - 86_400


@dataclass
class World:
    """Everything outside of the room, and the room itself. `seen` lists the events."""

    store: MemoryStore
    upstream: MemoryUpstream
    clock: HandClock
    downloads: Downloads
    documents: Documents
    revalidator: Revalidator
    bodies: Bodies
    patience: Patience
    workers: Workers
    seen: list[Event] = field(default_factory=list)

    def service(self, policy: Policy | None = None) -> AptArchives:
        """The room; the test closes it."""
        policy = policy or Policy(window=0.0)
        return AptArchives(
            policy,
            self.store,
            self.upstream,
            self.clock,
            self.seen.append,
            self.documents,
            self.downloads,
            self.revalidator,
            self.bodies,
            self.patience,
        )

    def put(self, path: str, body: bytes, *, modified: float | None = OLD, **headers: str) -> None:
        """Let upstream have a file, below the suite's folder; it answers conditions by date, and ranges."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if modified is not None:
            fields["last-modified"] = formatdate(modified, usegmt=True)
        unchanged = Scripted(status=304, headers=fields)
        whole = Scripted(body, headers=fields, ranges=True)
        date = fields.get("last-modified")
        self.upstream.on(
            ArchiveAddress("http", "deb.example", SUITE.path + path).url,
            lambda ask: unchanged if date and ask.headers.get("If-Modified-Since") == date else whole,
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world in which nothing is yet."""
    async with world_of() as made:
        yield made


@asynccontextmanager
async def world_of() -> AsyncIterator[World]:
    """A world in which nothing is yet, for tests that make one for each example."""
    store, upstream, clock = MemoryStore(), MemoryUpstream(), HandClock(WALL)
    seen: list[Event] = []
    downloads = Downloads(store, upstream, clock, seen.append, Lanes(1, 1 << 20))
    documents = documents_of(store, upstream, clock)
    bodies, patience = Bodies(clock, 1 << 20), Patience(upstream, clock)
    workers = Workers("releases", 1)
    revalidator = Revalidator(store, upstream, clock, patience)
    yield World(store, upstream, clock, downloads, documents, revalidator, bodies, patience, workers, seen)
    await workers.close()
    await revalidator.close()
    await downloads.close()
    await documents.close()


def listing(files: dict[str, bytes], *, date: float = OLD, until: float | None = None, by_hash: bool = False) -> bytes:
    """A Release file that lists these."""
    lines = ["Suite: stable", f"Date: {formatdate(date, usegmt=True)}"]
    if until is not None:
        lines.append(f"Valid-Until: {formatdate(until, usegmt=True)}")
    if by_hash:
        lines.append("Acquire-By-Hash: yes")
    lines.append("SHA256:")
    lines += [f" {hashlib.sha256(body).hexdigest()} {len(body)} {path}" for path, body in files.items()]
    return "\n".join([*lines, ""]).encode()


def inline(files: dict[str, bytes], **more: float | bool | None) -> bytes:
    """The same as InRelease."""
    return signed(listing(files, **more))  # type: ignore[arg-type]


def beside(body: bytes) -> bytes:
    """The signature of a Release file."""
    return signature(body)


async def content(world: World, body: bytes | Body) -> bytes:
    """All of a body."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, Flight):
        return b"".join([piece async for piece in follow(body, 0)])
    if isinstance(body, Passthrough):
        return b"".join([piece async for piece in body.chunks()])
    with world.store.lease(body) as descriptor:
        return os.pread(descriptor, body.size, 0)


async def settle(world: World) -> None:
    """Wait until all downloads are over, and stored."""
    while world.downloads._flights:
        await asyncio.sleep(0)
