"""The data folder: opening it, its lock, and the errors of one that cannot be used."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import StoreBroken, StoreFull, StoreRefused
from proxy.storage.folder import DataFolder, FolderLock, blob_name, unusable

_CHILD = """
import sys, pathlib
from proxy.storage.folder import FolderLock
lock = FolderLock.acquire(pathlib.Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_open__new(tmp_path: Path) -> None:
    """A folder is made, with all above it, and says its format."""
    folder = DataFolder.open(tmp_path / "a" / "data")
    folder.lock.release()

    assert (folder.path / "format").read_text() == "1\n"
    assert folder.index.is_dir()
    assert folder.spool.is_dir()


def test_open__first_start_was_cut_off(tmp_path: Path) -> None:
    """A format file without content is written again."""
    (tmp_path / "format").touch()
    DataFolder.open(tmp_path).lock.release()

    assert (tmp_path / "format").read_text() == "1\n"


@pytest.mark.parametrize("text", ["one", "-1", "1.5", "\x00"])
def test_open__format_is_no_number(tmp_path: Path, text: str) -> None:
    """A format that cannot be read is not guessed."""
    (tmp_path / "format").write_text(text)

    with pytest.raises(StoreBroken, match="version number"):
        DataFolder.open(tmp_path)
    assert not (tmp_path / "index").exists()


def test_open__after_a_unusable(tmp_path: Path) -> None:
    """A folder that was refused is not left locked."""
    (tmp_path / "format").write_text("7")
    with pytest.raises(StoreBroken, match="later version"):
        DataFolder.open(tmp_path)
    (tmp_path / "format").write_text("1")

    DataFolder.open(tmp_path).lock.release()


@pytest.mark.parametrize("name", ["", "index", "spool", "lock"])
def test_open__a_file_in_the_way(tmp_path: Path, name: str) -> None:
    """Something else where a folder or file belongs is an error of one line."""
    path = tmp_path / "data"
    if name == "lock":
        (path / name).mkdir(parents=True)
    elif name:
        path.mkdir()
        (path / name).touch()
    else:
        path.touch()

    with pytest.raises(StoreBroken, match="data folder"):
        DataFolder.open(path)


def test_blob_name__from_the_digest() -> None:
    """The name of a file is its digest, in two parts."""
    assert blob_name("ab" + "0" * 62) == "sha256/ab/" + "0" * 62


def test_acquire__held_by_another_process(tmp_path: Path) -> None:
    """The message says which process has the folder; when that one is killed it may be had."""
    path = tmp_path / "lock"
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(StoreBroken, match=f"in use by process {child.pid}"):
            FolderLock.acquire(path)
        child.kill()

    lock = FolderLock.acquire(path)
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, StoreFull, "is full, or takes no more files. Free some space there"),
        (errno.EFBIG, StoreFull, "is full"),
        (errno.EDQUOT, StoreFull, "The quota of this user"),
        (errno.EROFS, StoreBroken, "cannot be written: Read-only file system;"),
        (errno.ENAMETOOLONG, StoreRefused, "too long"),
        (errno.EMFILE, StoreRefused, "ulimit -n"),
        (errno.ENFILE, StoreRefused, "ulimit -n"),
        (errno.ENOLCK, StoreRefused, "Use a local disk"),
        (errno.EOPNOTSUPP, StoreRefused, "Use a local disk"),
        (errno.EIO, StoreBroken, os.strerror(errno.EIO)),
        (errno.ESTALE, StoreBroken, os.strerror(errno.ESTALE)),
    ],
)
def test_unusable__reason(tmp_path: Path, number: int, kind: type[Exception], text: str) -> None:
    """Each reason has the advice that helps against it, and no other's."""
    error = unusable(tmp_path, OSError(number, os.strerror(number)))

    assert kind is type(error)
    assert text in str(error)
    assert ("--data" in str(error)) != (number in (errno.EMFILE, errno.ENFILE))
    assert ("Free" in str(error)) == (kind is StoreFull)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_unusable__no_rights(tmp_path: Path, number: int) -> None:
    """Of a folder that is there, the folder is to be opened to the user; else the one in which it is to be made."""
    there = str(unusable(tmp_path, OSError(number, "")))
    missing = str(unusable(tmp_path / "a" / "b", OSError(number, "")))

    assert f"The data folder {tmp_path} cannot be written by user {os.geteuid()}. Let that user write there" in there
    assert f"The data folder {tmp_path}/a/b cannot be made: user {os.geteuid()} may not write in {tmp_path}." in missing


def _file_above(path: Path) -> Path:
    path.parent.touch()
    return path.parent


def _file(path: Path) -> Path:
    path.parent.mkdir()
    path.touch()
    return path


def _link(path: Path) -> Path:
    path.parent.mkdir()
    path.symlink_to("missing")
    return path


def _circle(path: Path) -> Path:
    path.parent.symlink_to(path.parent)
    return path.parent


def _file_in_it(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "index").touch()
    return path / "index"


def _folder_in_it(path: Path) -> Path:
    (path / "lock").mkdir(parents=True)
    return path / "lock"


def _link_in_it(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "lock").symlink_to(path)
    return path / "lock"


@pytest.mark.parametrize("make", [_file_above, _file, _link, _circle, _file_in_it, _folder_in_it, _link_in_it])
def test_unusable__something_in_the_way(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """What stands in the way is named, wherever it is."""
    path = tmp_path / "above" / "data"
    blamed = make(path)

    with pytest.raises(StoreBroken) as caught:
        DataFolder.open(path)

    assert str(caught.value).startswith(f"The data folder {path} cannot be used: {blamed} is ")
    assert "--data" in str(caught.value)
