"""Folders that other programs made."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from proxy.bundles.foreign_files import ForeignFile, foreign_files, tar_of
from tests.bundles.test_tar_stream import read

_WHEEL = b"PK\x03\x04" + b"wheel" * 100
_DEB = b"!<arch>\ndebian-binary"
_SDIST = b"\x1f\x8b\x08" + b"s" * 70_000


def _write(path: Path, body: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def _bodies(folder: Path) -> list[bytes]:
    return [body for _, body in read(b"".join(tar_of(foreign_files(folder))))]


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

    assert [] == foreign_files(folder)


def test_folders__none(tmp_path: Path) -> None:
    """A folder that is not there is an error."""
    with pytest.raises(FileNotFoundError):
        foreign_files(tmp_path / "nowhere")


def test_tar__of_a_file_that_got_shorter(tmp_path: Path) -> None:
    """The tar stays whole, and the file is another one."""
    path = _write(tmp_path / "demo.whl", _WHEEL)

    assert [("0/demo.whl", _WHEEL + bytes(96))] == read(b"".join(tar_of([ForeignFile(path, 0, len(_WHEEL) + 96)])))
