"""Hashing behind the writers."""

from __future__ import annotations

import hashlib
import os

import pytest

from proxy.cache.running_hash import RunningHash
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken, WrongBytes
from proxy.model import Digest
from tests.cache.conftest import BODY, sha256
from tests.system import anonymous_file


@pytest.fixture
def descriptor() -> object:
    """An anonymous file with the body in it."""
    number = anonymous_file(BODY)
    yield number
    os.close(number)


@pytest.mark.parametrize("algorithm", [None, "sha256", "md5", "sha512"])
async def test_check__in_steps(workers: Workers, descriptor: int, algorithm: str | None) -> None:
    """Steps of any size give the sha256, whatever else is checked."""
    expected = Digest(algorithm, hashlib.new(algorithm, BODY).hexdigest()) if algorithm else None
    running_hash = RunningHash(expected, workers)
    for end in (1, 1000, 1000, 400_000, len(BODY)):
        await running_hash.advance(descriptor, end)
    assert sha256(BODY) == running_hash.check()


async def test_check__disk_then_memory(workers: Workers, descriptor: int) -> None:
    """Bytes that never were on disk go on where the file stopped."""
    running_hash = RunningHash(sha256(BODY), workers)
    await running_hash.advance(descriptor, 1234)
    running_hash.update(BODY[1234:])
    assert sha256(BODY) == running_hash.check()


async def test_check__wrong(workers: Workers, descriptor: int) -> None:
    """Another digest is WrongBytes."""
    running_hash = RunningHash(sha256(b"other"), workers)
    await running_hash.advance(descriptor, len(BODY))
    with pytest.raises(WrongBytes):
        running_hash.check()


async def test_advance__file_is_shorter(workers: Workers, descriptor: int) -> None:
    """A file that lost bytes is the disk's failure."""
    with pytest.raises(StoreBroken):
        await RunningHash(None, workers).advance(descriptor, len(BODY) + 1)
