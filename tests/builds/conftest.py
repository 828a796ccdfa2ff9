"""A Docker engine that answers what a test wants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import fake_engine
from tests.fake_engine import FakeEngine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An empty engine 20.10."""
    with fake_engine.running() as started:
        yield started
