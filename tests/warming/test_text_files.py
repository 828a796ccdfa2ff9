"""Texts that people name, read or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.warming.text_files import UnreadableFile, read, without_user


def test_read(tmp_path: Path) -> None:
    """All of it, if it has no more bytes than it may."""
    path = tmp_path / "requirements.txt"
    path.write_text("six==1.17.0  # \N{SNOWMAN}\n", "utf-8")

    assert "six==1.17.0  # \N{SNOWMAN}\n" == read(path, path.stat().st_size)
    with pytest.raises(UnreadableFile, match="more than 10 bytes"):
        read(path, 10)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_read__of_other_systems(tmp_path: Path, encoding: str) -> None:
    """What editors and shells of Windows write: a byte order mark, UTF-16, and their ends of lines."""
    path = tmp_path / "requirements.txt"
    path.write_bytes("six==1.17.0\r\n# \N{SNOWMAN}\r\n".encode(encoding))
    assert "six==1.17.0\n# \N{SNOWMAN}\n" == read(path)


def test_without_user() -> None:
    """Of all addresses in a text."""
    assert "git+https://a/x and http://b" == without_user("git+https://me:secret@a/x and http://me@b")
    assert "https://a/x@1" == without_user("https://a/x@1")
    assert "https://a/x" == without_user("https://me:s@cr@et@a/x")


def test_read__what_is_none(tmp_path: Path) -> None:
    """A file that is not there, that is no text, or that is larger than any: the file is named."""
    path = tmp_path / "uv.lock"
    with pytest.raises(UnreadableFile, match=r"uv\.lock cannot be read"):
        read(path)
    for data in (b"\xff\xfe\x00", b"a\0b", b"\xff"):
        path.write_bytes(data)
        with pytest.raises(UnreadableFile, match=r"uv\.lock is no text"):
            read(path)
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(UnreadableFile, match=r"uv\.lock has more than"):
        read(path)
