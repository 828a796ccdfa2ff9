"""Fixtures of this room's tests."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator

import pytest

from tests.storage.vfs import FailingVfs


@pytest.fixture
def failing_disk() -> Generator[FailingVfs]:
    """The disk below each index that is opened from now on; it fails when it is told to."""
    disk = FailingVfs()
    try:
        yield disk
    finally:
        disk.end()


@pytest.fixture
def late_close() -> Callable[[int], None]:
    """`os.close` of a network disk, which reports late that a write has failed: it closes all the same."""
    close = os.close

    def closed(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    return closed
