"""An engine and a command `docker` that answer what a test wants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fake_engine
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An empty engine 20.10."""
    with fake_engine.running() as started:
        yield started


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    """A docker 20.10 without plugins."""
    return FakeDocker.make(tmp_path / "docker-bin")


@pytest.fixture
def environ(docker: FakeDocker, tmp_path: Path) -> dict[str, str]:
    """The variables of somebody with that docker and an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": f"{docker.folder}:/usr/bin:/bin", "HOME": str(home)}
