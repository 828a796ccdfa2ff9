"""What Docker's own client leaves in the home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.builds.client_traces import absent, remove


def _build(folder: Path) -> None:
    """Leave what a first build leaves."""
    (folder / "buildx/instances").mkdir(parents=True)
    (folder / "buildx/refs/default").mkdir(parents=True)
    (folder / "buildx/current").touch()
    (folder / ".buildNodeID").write_text("1")


@pytest.mark.parametrize("variable", ["HOME", "DOCKER_CONFIG"])
def test_traces__of_a_first_build(tmp_path: Path, variable: str) -> None:
    """All of it goes, wherever Docker's client has its folder."""
    environ = {variable: str(tmp_path if variable == "HOME" else tmp_path / ".docker")}
    before = absent(environ)
    _build(tmp_path / ".docker")

    remove(before)

    assert [] == list(tmp_path.iterdir())


def test_traces__that_were_there_before(tmp_path: Path) -> None:
    """They stay, and so does what was beside them."""
    _build(tmp_path / ".docker")
    before = absent({"HOME": str(tmp_path)})

    remove(before)

    assert [] == before
    assert {"buildx", ".buildNodeID"} == {path.name for path in (tmp_path / ".docker").iterdir()}


def test_traces__builders_made_since(tmp_path: Path) -> None:
    """A builder is somebody's work; so is a login."""
    before = absent({"HOME": str(tmp_path)})
    _build(tmp_path / ".docker")
    (tmp_path / ".docker/buildx/instances/mine").touch()
    (tmp_path / ".docker/config.json").touch()

    remove(before)

    assert {"buildx", "config.json"} == {path.name for path in (tmp_path / ".docker").iterdir()}


def test_traces__never_left(tmp_path: Path) -> None:
    """No build was run."""
    remove(absent({"HOME": str(tmp_path)}))

    assert [] == list(tmp_path.iterdir())
