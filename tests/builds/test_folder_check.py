"""What `doctor` says of the data folder."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from proxy.builds.findings import Health
from proxy.builds.folder_check import folder


def test_folder__as_it_should_be(tmp_path: Path) -> None:
    """Its free room is told; one that is not there yet is made."""
    here, later = folder(tmp_path), folder(tmp_path / "a" / "b")

    assert (Health.OK, Health.OK) == (here.health, later.health)
    assert here.text.startswith(f"{tmp_path}: ")
    assert "is made at the first start" in later.text


def test_folder__is_a_file(tmp_path: Path) -> None:
    """A `.docker-cache` that is a file, or a link that leads nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for name in ("file", "link"):
        found = folder(tmp_path / name)
        assert (Health.WRONG, f"{tmp_path / name} is not a folder") == (found.health, found.text)
        assert "PULLTHROUGH_DATA" in found.remedy


def test_folder__of_another_user(tmp_path: Path) -> None:
    """As Docker makes one for a mount: the command that gives it back is told."""
    found = folder(tmp_path, owner=os.geteuid() + 1)

    assert Health.WRONG is found.health
    assert f"sudo chown -R {os.geteuid()}:{os.getegid()} {tmp_path}" == found.remedy


def test_folder__something_in_it_of_another_user(tmp_path: Path) -> None:
    """A start as root leaves files that the user's cache cannot write."""
    (tmp_path / "lock").touch()
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tmp_path / "lock", 4711, 4711)

    found = folder(tmp_path, owner=0)
    assert Health.OK is found.health
    os.chown(tmp_path, 4712, 4712)
    found = folder(tmp_path, owner=4712)
    assert f"{tmp_path / 'lock'} is user 4711's: the cache cannot write it" == found.text


@pytest.mark.parametrize(("free", "health"), [(10**8, Health.WRONG), (3 * 10**9, Health.DOUBTFUL), (10**11, Health.OK)])
def test_folder__room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, health: Health) -> None:
    """A disk that is full makes the cache pass everything through."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - the library's own type
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free))

    assert health is folder(tmp_path).health
