"""The admin token."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.control.admin_token import NAME, TokenRefused, check, fresh

_TOKEN = "the-token-of-this-very-cache"


def _file(folder: Path, content: bytes = f"{_TOKEN}\n".encode(), mode: int = 0o600) -> Path:
    path = folder / NAME
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_fresh__never_twice() -> None:
    """It cannot be guessed, and is long enough to count."""
    assert fresh() != fresh()
    assert len(fresh()) > 40


def test_check__the_token(tmp_path: Path) -> None:
    """Spaces and the end of the line do not belong to it."""
    _file(tmp_path, f"  {_TOKEN} \r\n".encode())

    check(tmp_path, _TOKEN)


@pytest.mark.parametrize("given", ["wrong", _TOKEN[:-1], _TOKEN + "x", "\N{SNOWMAN}", "\udcff", "\0"])
def test_check__another_one(tmp_path: Path, given: str) -> None:
    """Whoever shows another one is told where the token is, and nothing of it."""
    _file(tmp_path)

    with pytest.raises(TokenRefused, match=f"not the admin token of this cache, or not any more: the file {NAME}"):
        check(tmp_path, given)


def test_check__an_old_one(tmp_path: Path) -> None:
    """A new file counts at once, and the old token no longer."""
    _file(tmp_path)
    check(tmp_path, _TOKEN)
    _file(tmp_path, b"another-token-of-this-cache")

    check(tmp_path, "another-token-of-this-cache")
    with pytest.raises(TokenRefused, match="not any more"):
        check(tmp_path, _TOKEN)


def test_check__none_is_shown(tmp_path: Path) -> None:
    """It is asked for, also where the file is empty."""
    _file(tmp_path, b"")

    with pytest.raises(TokenRefused, match="takes the admin token"):
        check(tmp_path, "")


def test_check__no_file(tmp_path: Path) -> None:
    """Without the file nobody can change anything, and is told how to make it."""
    with pytest.raises(TokenRefused, match="pullthrough setup"):
        check(tmp_path, _TOKEN)


def test_check__too_short(tmp_path: Path) -> None:
    """What can be guessed does not count."""
    _file(tmp_path, b"secret\n")

    with pytest.raises(TokenRefused, match="too short"):
        check(tmp_path, "secret")


def test_check__others_may_read_it(tmp_path: Path) -> None:
    """What others know is no secret."""
    _file(tmp_path, mode=0o640)

    with pytest.raises(TokenRefused, match="mode 0600"):
        check(tmp_path, _TOKEN)


@pytest.mark.parametrize("what", ["folder", "link", "pipe"])
def test_check__no_file_of_ours(tmp_path: Path, what: str) -> None:
    """Whatever stands there is no token, and nobody waits for it."""
    path = tmp_path / NAME
    if what == "folder":
        path.mkdir(0o700)
    elif what == "link":
        path.symlink_to(_file(tmp_path.parent))
    else:
        os.mkfifo(path, 0o600)

    with pytest.raises(TokenRefused):
        check(tmp_path, _TOKEN)
