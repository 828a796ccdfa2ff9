"""What the caching core is tested with: a store and an upstream in memory, and a clock that a test moves."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from proxy.cache.bodies import Bodies
from proxy.cache.documents import Documents
from proxy.cache.flight import WantedFile
from proxy.cache.freshness import Patience
from proxy.cache.workers import Workers
from proxy.model import Digest, Site
from proxy.ports import Clock
from tests.memory_store import MemoryStore
from tests.memory_upstream import MemoryUpstream

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
URL = "https://files.example/demo-1.0-py3-none-any.whl"
BODY = bytes(range(256)) * 2000  # 512,000 bytes
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@dataclass
class HandClock:
    """A clock that a test moves."""

    wall: float = 1000.0
    steady: float = 50.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.wall

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.steady

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


def sha256(body: bytes) -> Digest:
    """The digest of a body."""
    return Digest("sha256", hashlib.sha256(body).hexdigest())


def wanted(body: bytes | None = BODY, *, size: bool = True, key: str = "file:demo", url: str = URL) -> WantedFile:
    """A wanted file; without `body` nothing is known of it."""
    if body is None:
        return WantedFile(key, url, SITE)
    return WantedFile(key, url, SITE, sha256(body), len(body) if size else None)


def documents_of(store: MemoryStore, upstream: MemoryUpstream, clock: Clock, limit: int = 1 << 20) -> Documents:
    """Documents of at most `limit` bytes."""
    return Documents(store, upstream, clock, Bodies(clock, limit), Patience(upstream, clock))


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    """Threads that hash."""
    made = Workers("hashing", 2)
    yield made
    await made.close()


@pytest.fixture
def store() -> MemoryStore:
    """A store in memory."""
    return MemoryStore()


@pytest.fixture
def upstream() -> MemoryUpstream:
    """An upstream in memory."""
    return MemoryUpstream()


@pytest.fixture
def clock() -> HandClock:
    """The time."""
    return HandClock()
