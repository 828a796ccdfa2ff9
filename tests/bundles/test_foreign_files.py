"""Folders that other programs made."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from proxy.bundles.foreign_files import FolderFiles, ForeignFile, foreign_files, tar_of
from tests.bundles.test_tar_stream import read

_WHEEL = b"PK\x03\x04" + b"wheel" * 100
_DEB = b"!<arch>\ndebian-binary"
_SDIST = b"\x1f\x8b\x08" + b"s" * 70_000


def _write(path: Path, body: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def write_beyond_reach(folder: Path, body: bytes) -> None:
    """Below a folder, a file `wheel` and a folder `folder` that are there, and whose paths no call takes."""
    longest = os.pathconf(folder, "PC_PATH_MAX")
    at, length = os.open(folder, os.O_RDONLY), len(os.fsencode(folder))
    while (left := longest - 3 - length) > 0:  # the last folder's own path is just short enough
        name = "d" * min(200, left)
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at, length = below, length + 1 + len(name)
    os.mkdir("folder", dir_fd=at)
    file = os.open("wheel", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=at)
    os.write(file, body)
    os.close(file)
    os.close(at)


def _bodies(folder: Path) -> list[bytes]:
    return [body for _, body in read(b"".join(tar_of(foreign_files(folder).files)))]


def test_folders__of_wheels_and_debs(tmp_path: Path) -> None:
    """Files are known by their beginning, wherever they lie and whatever they are called."""
    _write(tmp_path / "demo-1-py3-none-any.whl", _WHEEL)
    _write(tmp_path / "pool" / "curl%3a7_amd64.deb", _DEB)
    _write(tmp_path / "pool" / "curl_7_amd64.deb.head", b"HTTP/1.1 200 OK")
    _write(tmp_path / "+files" / "ab" / "cdef", _SDIST)
    _write(tmp_path / "naïve\n.whl", _WHEEL)
    _write(tmp_path / "empty", b"")

    assert [_SDIST, _WHEEL, _WHEEL, _DEB] == sorted(_bodies(tmp_path), key=[_SDIST, _WHEEL, _DEB].index)


def test_folders__pip_now(tmp_path: Path) -> None:
    """pip 23.3 and later has the body of an answer in a file of its own."""
    _write(tmp_path / "http-v2" / "a" / "b" / "abc", msgspec.msgpack.encode({"response": {}}))
    _write(tmp_path / "http-v2" / "a" / "b" / "abc.body", _WHEEL)

    assert [_WHEEL] == _bodies(tmp_path)


@pytest.mark.parametrize("body", [_WHEEL[:200], _WHEEL, _SDIST])
def test_folders__pip_before(tmp_path: Path, body: bytes) -> None:
    """Earlier ones have head and body in one file; the body is taken out of it."""
    answer = {"response": {"body": body, "headers": {"ETag": '"a"'}, "status": 200}, "vary": {}}
    _write(tmp_path / "http" / "a" / "abc", b"cc=4," + msgspec.msgpack.encode(answer))
    _write(tmp_path / "http" / "a" / "page", b"cc=4," + msgspec.msgpack.encode({"response": {"body": b"<html>"}}))
    _write(tmp_path / "http" / "a" / "cut", (b"cc=4," + msgspec.msgpack.encode(answer))[:60])

    assert [body] == _bodies(tmp_path)


def test_folders__links_and_pipes(tmp_path: Path) -> None:
    """A link leads nowhere, and a pipe holds nobody up."""
    outside = _write(tmp_path / "outside" / "demo.whl", _WHEEL)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.whl").symlink_to(outside)
    (folder / "folder").symlink_to(outside.parent)
    os.mkfifo(folder / "pipe.whl")

    assert FolderFiles([], []) == foreign_files(folder)


def test_folders__what_cannot_be_read(tmp_path: Path) -> None:
    """It is named, and all the rest is taken: here files and folders whose paths are longer than the system takes."""
    _write(tmp_path / "demo.whl", _WHEEL)
    write_beyond_reach(tmp_path, _WHEEL)

    found = foreign_files(tmp_path)

    assert [tmp_path / "demo.whl"] == [file.path for file in found.files]
    assert {error.errno for error in found.unread} == {errno.ENAMETOOLONG}
    assert ["folder", "wheel"] == sorted(Path(error.filename).name for error in found.unread)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this system has no file that opens and cannot be read")
def test_folders__files_that_fail_while_they_are_read() -> None:
    """As on a disk that is damaged: their errors name them, too."""
    found = foreign_files(Path(f"/proc/self/task/{os.getpid()}"))

    assert f"/proc/self/task/{os.getpid()}/mem" in [error.filename for error in found.unread]


def test_folders__none(tmp_path: Path) -> None:
    """A folder that is not there is an error."""
    with pytest.raises(FileNotFoundError):
        foreign_files(tmp_path / "nowhere")


def test_tar__of_a_file_that_got_shorter(tmp_path: Path) -> None:
    """The tar stays whole, and the file is another one."""
    path = _write(tmp_path / "demo.whl", _WHEEL)

    assert [("0/demo.whl", _WHEEL + bytes(96))] == read(b"".join(tar_of([ForeignFile(path, 0, len(_WHEEL) + 96)])))
