"""Stores with addresses as clients leave them, and verbs that ask from a thread as another process does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proxy.control.client import RunningStore
from proxy.control.protocol import Message
from proxy.model import Entry, Validator
from proxy.storage.store import DiskStore
from tests.storage.disk import digest

T = TypeVar("T")

TORCH = "file:pypi:torch:files.example:a/torch-2.7.1-cp312-cp312-linux_x86_64.whl"
PAGE = "page:pypi:torch:simple/torch/"
CURL = "apt:file:http://archive.example/debian/pool/curl_7_amd64.deb"
BODIES = {TORCH: b"t" * 3000, PAGE: b"p" * 200, CURL: b"c" * 1000}


class StoppedClock:
    """`ports.Clock` at one moment."""

    def now(self) -> float:
        return 1_790_000_000.0

    monotonic = staticmethod(time.monotonic)


async def fill(store: DiskStore) -> None:
    """A wheel, its page, and a package."""
    for key, body in BODIES.items():
        await store.put(body)
        await store.save(
            Entry(
                key,
                "https://files.example/",
                digest(body),
                len(body),
                "",
                Validator(),
                1_789_000_000.0,
                1_789_900_000.0,
            )
        )


def asked(folder: Path) -> RunningStore:
    """The cache that runs there."""
    found = RunningStore.find(folder)
    assert found is not None
    return found


async def aside(work: Callable[[], T]) -> T:
    """Run what blocks while the event loop goes on."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def last(messages: Iterator[Message]) -> Message:
    """The last message of all."""
    return list(messages)[-1]
