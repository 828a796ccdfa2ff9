"""Whether a file is what was stored."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from proxy.storage.proof import proves, stamp_of

BODY = b"x" * (5 << 20)


@pytest.mark.parametrize(
    ("body", "right"),
    [(BODY, True), (BODY[:-1], False), (BODY + b"x", False), (BODY[:-1] + b"y", False), (b"", False)],
)
def test_proves__content(tmp_path: Path, body: bytes, right: bool) -> None:
    """Only the very bytes will do."""
    path = tmp_path / "file"
    path.write_bytes(body)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert proves(descriptor, len(BODY), hashlib.sha256(BODY).hexdigest()) is right
    finally:
        os.close(descriptor)


def test_stamp_of__another_file_or_time(tmp_path: Path) -> None:
    """Another file has another stamp, even with the same times; so has a file that was touched and set back."""
    first, second = tmp_path / "first", tmp_path / "second"
    stamps = []
    for path, time in ((first, 5), (second, 5), (first, 5)):
        path.touch()
        os.utime(path, ns=(time, time))
        stamps.append(stamp_of(path.stat()))

    assert len(set(stamps)) == 3
