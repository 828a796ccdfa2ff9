"""Hashing behind the writers."""

from __future__ import annotations

import hashlib
import os

import pytest

from proxy.cache.digesting import Digesting
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken, WrongBytes
from proxy.model import Digest
from tests.cache.conftest import BODY, sha256


@pytest.fixture
def descriptor() -> object:
    """An anonymous file with the body in it."""
    number = os.memfd_create("body")
    os.pwrite(number, BODY, 0)
    yield number
    os.close(number)


@pytest.mark.parametrize("algorithm", [None, "sha256", "md5", "sha512"])
async def test_check__in_steps(workers: Workers, descriptor: int, algorithm: str | None) -> None:
    """Steps of any size give the sha256, whatever else is checked."""
    expected = Digest(algorithm, hashlib.new(algorithm, BODY).hexdigest()) if algorithm else None
    digesting = Digesting(expected, workers)
    for end in (1, 1000, 1000, 400_000, len(BODY)):
        await digesting.advance(descriptor, end)
    assert sha256(BODY) == digesting.check()


async def test_check__disk_then_memory(workers: Workers, descriptor: int) -> None:
    """Bytes that never were on disk go on where the file stopped."""
    digesting = Digesting(sha256(BODY), workers)
    await digesting.advance(descriptor, 1234)
    digesting.update(BODY[1234:])
    assert sha256(BODY) == digesting.check()


async def test_check__wrong(workers: Workers, descriptor: int) -> None:
    """Another digest is WrongBytes."""
    digesting = Digesting(sha256(b"other"), workers)
    await digesting.advance(descriptor, len(BODY))
    with pytest.raises(WrongBytes):
        digesting.check()


async def test_advance__file_is_shorter(workers: Workers, descriptor: int) -> None:
    """A file that lost bytes is the disk's failure."""
    with pytest.raises(StoreBroken):
        await Digesting(None, workers).advance(descriptor, len(BODY) + 1)
