"""Manifests in files that people name."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.bundles.manifest import BadBundle, encode
from proxy.bundles.manifest_file import read
from tests.bundles.packed import CREATED, contents, write


def test_read__of_a_bundle_or_alone(tmp_path: Path) -> None:
    """Both give the same."""
    alone = tmp_path / "MANIFEST.json"
    alone.write_bytes(b"".join(encode(CREATED, contents().members)))

    assert contents().members == read(alone).members == read(write(tmp_path)).members


def test_read__only_the_beginning_of_a_bundle(tmp_path: Path) -> None:
    """What follows may be cut off or damaged: that is not looked at."""
    body = write(tmp_path).read_bytes()
    (tmp_path / "cut").write_bytes(body[: len(body) // 2])

    assert contents().members == read(tmp_path / "cut").members


@pytest.mark.parametrize("body", [b"", b"\0" * 10_240, b"text", b'{"format": 3}', b"{"])
def test_read__neither(tmp_path: Path, body: bytes) -> None:
    """The message names the file."""
    (tmp_path / "some").write_bytes(body)

    with pytest.raises(BadBundle, match="some: "):
        read(tmp_path / "some")
