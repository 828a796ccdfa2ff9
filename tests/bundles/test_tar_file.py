"""A tar that is a regular file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.bundles.manifest import BadBundle
from proxy.bundles.tar_file import TarFile
from proxy.errors import WrongUsage

_BODY = os.urandom(700_000)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """Of a file that can be changed."""
    (tmp_path / "tar").write_bytes(_BODY)
    opened = os.open(tmp_path / "tar", os.O_RDWR)
    yield opened
    os.close(opened)


def test_pieces__all(descriptor: int) -> None:
    """As bytes it is what the file has, and how far it is can be seen."""
    steps = list[tuple[int, int]]()

    assert _BODY == b"".join(TarFile("tar", descriptor, lambda done, of: steps.append((done, of))))

    assert (len(_BODY), len(_BODY)) == steps[-1]


@pytest.mark.parametrize(("position", "size"), [(0, 10), (100, 300_000), (100, len(_BODY) - 100), (250_000, 300_000)])
def test_range__leaves_out(descriptor: int, position: int, size: int) -> None:
    """What was asked for as a range does not come in the next piece, and counts when it is taken."""
    steps = list[tuple[int, int]]()
    tar = TarFile("tar", descriptor, lambda done, of: steps.append((done, of)))
    pieces = iter(tar)
    first = next(pieces)

    body = tar.range(position, size)

    assert body is not None
    buffer = memoryview(bytearray(size))
    assert size == body.read_into(buffer, 0)
    behind = first[position + size :]  # came with the first piece
    assert _BODY == first[:position] + buffer.tobytes() + behind + b"".join(pieces)
    body.taken(size)
    assert (len(_BODY), len(_BODY)) == steps[-1]


def test_range__beyond_the_end(descriptor: int) -> None:
    """A body that the file does not have comes in pieces, which end where it does."""
    tar = TarFile("tar", descriptor)

    assert tar.range(100, len(_BODY)) is None
    assert _BODY == b"".join(tar)


def test_range__file_that_became_shorter(descriptor: int) -> None:
    """It is said, and names the file."""
    body = TarFile("the.tar", descriptor).range(100, 1000)
    assert body is not None
    os.ftruncate(descriptor, 600)
    buffer = memoryview(bytearray(1000))

    assert 500 == body.read_into(buffer, 0)
    with pytest.raises(BadBundle, match=r"the\.tar became shorter"):
        body.read_into(buffer, 500)


def test_file__cannot_be_read(tmp_path: Path) -> None:
    """A file that cannot be read is named, with the reason."""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        tar = TarFile("the.tar", folder)
        body = tar.range(0, 1)
        assert body is not None
        with pytest.raises(WrongUsage, match=r"the\.tar: Is a directory"):
            body.read_into(memoryview(bytearray(1)), 0)
        with pytest.raises(WrongUsage, match=r"the\.tar: Is a directory"):
            next(iter(tar))
    finally:
        os.close(folder)
