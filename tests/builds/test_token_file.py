"""The admin token that setup makes."""

from __future__ import annotations

import stat
from pathlib import Path

from proxy.builds import token_file
from proxy.builds.changes import Changes
from proxy.control import admin_token


def test_make__once_and_back(tmp_path: Path) -> None:
    """It counts as the token, only its user may read it, a second run leaves it alone, and it can be taken back."""
    data, said = tmp_path / "data", list[str]()
    data.mkdir()
    changes = Changes.load(tmp_path / "setup.json")

    token_file.make(data, changes, said.append)
    path = data / admin_token.NAME
    token = path.read_text()
    token_file.make(data, changes, said.append)

    assert token == path.read_text()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    admin_token.check(data, token.strip())
    assert [f"wrote {path}", f"the admin token of the cache's page is in {path}"] == [one.split(":")[0] for one in said]
    assert token.strip() not in (tmp_path / "setup.json").read_text()
    for one in changes.files:
        assert changes.take_back(one)
    assert [] == list(data.iterdir())


def test_make__a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """It is said, and setup goes on."""
    data, said = tmp_path / "data", list[str]()
    data.write_text("no folder")

    token_file.make(data, Changes.load(tmp_path / "setup.json"), said.append)

    assert [f"there is no admin token, since {data / 'admin-token'} cannot be written: Not a directory"] == said
