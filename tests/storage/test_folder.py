"""Opening a data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import StoreBroken
from proxy.storage.folder import blob_name, prepare


def test_prepare__new(tmp_path: Path) -> None:
    """A folder is made, with all above it, and says its format."""
    folder = prepare(tmp_path / "a" / "data")
    folder.lock.release()

    assert (folder.path / "format").read_text() == "1\n"
    assert folder.index.is_dir()
    assert folder.spool.is_dir()


def test_prepare__first_start_was_cut_off(tmp_path: Path) -> None:
    """A format file without content is written again."""
    (tmp_path / "format").touch()
    prepare(tmp_path).lock.release()

    assert (tmp_path / "format").read_text() == "1\n"


@pytest.mark.parametrize("text", ["one", "-1", "1.5", "\x00"])
def test_prepare__format_is_no_number(tmp_path: Path, text: str) -> None:
    """A format that cannot be read is not guessed."""
    (tmp_path / "format").write_text(text)

    with pytest.raises(StoreBroken, match="version number"):
        prepare(tmp_path)
    assert not (tmp_path / "index").exists()


def test_prepare__after_a_refusal(tmp_path: Path) -> None:
    """A folder that was refused is not left locked."""
    (tmp_path / "format").write_text("7")
    with pytest.raises(StoreBroken, match="later version"):
        prepare(tmp_path)
    (tmp_path / "format").write_text("1")

    prepare(tmp_path).lock.release()


@pytest.mark.parametrize("name", ["", "index", "spool", "lock"])
def test_prepare__a_file_in_the_way(tmp_path: Path, name: str) -> None:
    """Something else where a folder or file belongs is said in one line."""
    path = tmp_path / "data"
    if name == "lock":
        (path / name).mkdir(parents=True)
    elif name:
        path.mkdir()
        (path / name).touch()
    else:
        path.touch()

    with pytest.raises(StoreBroken, match="data folder"):
        prepare(path)


def test_blob_name__from_the_digest() -> None:
    """The name of a file is its digest, in two parts."""
    assert blob_name("ab" + "0" * 62) == "sha256/ab/" + "0" * 62
