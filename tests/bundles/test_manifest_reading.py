"""A manifest that comes in pieces."""

from __future__ import annotations

import msgspec
import pytest

from proxy.bundles.manifest import BadBundle, BundleMember, encode
from proxy.bundles.manifest_reading import ManifestReading
from tests.bundles.tars import member

_MEMBERS = [
    member(f"files/pypi/_/{number}.whl", b"%d" % number, f"file:pypi:demo::{number}.whl") for number in range(5)
]
_TEXT = b"".join(encode(1.5, _MEMBERS))


def _read(text: bytes, size: int) -> tuple[float, list[BundleMember]]:
    reading, found = ManifestReading(), list[BundleMember]()
    for start in range(0, len(text), size):
        found += reading.feed(text[start : start + size])
    found += reading.finish()
    return reading.created, found


@pytest.mark.parametrize("size", [1, 7, 150, 1 << 20])
def test_reading__by_lines_or_whole(size: int) -> None:
    """What an export writes, however it is cut; the same JSON as other tools write it; and one without members."""
    assert (1.5, _MEMBERS) == _read(_TEXT, size)
    for indent in (0, 2, -1):
        assert (1.5, _MEMBERS) == _read(msgspec.json.format(_TEXT, indent=indent), size)
    assert (2.0, []) == _read(b"".join(encode(2.0, [])), size)


def test_reading__keeps_nothing_of_what_was_read() -> None:
    """A member is given with the piece that ends its line."""
    reading = ManifestReading()
    lines = _TEXT.splitlines(keepends=True)

    assert [[], *([one] for one in _MEMBERS)] == [list(reading.feed(line)) for line in lines[:-1]]
    assert b"" == reading._text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_TEXT[:-4], "cannot be read: its end is missing"),
        (_TEXT[: len(_TEXT) // 2], "cannot be read: its end is missing"),
        (_TEXT.replace(b"},\n", b"}\n", 1), "cannot be read: a comma is missing"),
        (_TEXT.replace(b'"size":1,', b'"size":"1",'), "cannot be read: Expected `int`"),
        (_TEXT + b"more\n", "cannot be read: something is behind its end"),
        (_TEXT.replace(b'"format":1', b'"format":2'), "has format 2"),
        (_TEXT.replace(b'"created":1.5', b'"created":1.5.5'), "cannot be read: could not convert"),
        (_TEXT.replace(b"/_/3", b"/../3"), r"is wrong of 'files/pypi/\.\./3\.whl'"),
        (b"no json", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_reading__refuses(text: bytes, reason: str) -> None:
    """What no export writes."""
    with pytest.raises(BadBundle, match=reason):
        _read(text, 100)
