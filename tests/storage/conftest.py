"""Fixtures of this room's tests."""

from __future__ import annotations

from collections.abc import Generator

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
