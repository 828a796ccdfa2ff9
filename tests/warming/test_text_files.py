"""Texts that people name, read or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.warming.text_files import UnreadableFile, read


def test_read(tmp_path: Path) -> None:
    """All of it, if it has no more bytes than it may."""
    path = tmp_path / "requirements.txt"
    path.write_text("six==1.17.0  # \N{SNOWMAN}\n", "utf-8")

    assert "six==1.17.0  # \N{SNOWMAN}\n" == read(path, path.stat().st_size)
    with pytest.raises(UnreadableFile, match="more than 10 bytes"):
        read(path, 10)


def test_read__what_is_none(tmp_path: Path) -> None:
    """A file that is not there, that is no text, or that is larger than any: the file is named."""
    path = tmp_path / "uv.lock"
    with pytest.raises(UnreadableFile, match=r"uv\.lock cannot be read"):
        read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableFile, match=r"uv\.lock is no text"):
        read(path)
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(UnreadableFile, match=r"uv\.lock has more than"):
        read(path)
