"""A bundle as it is read."""

from __future__ import annotations

import pytest

from proxy.bundles.layout import MANIFEST, SUMS
from proxy.bundles.manifest import BadBundle, BundleMember, encode
from proxy.bundles.member_table import MemberTable
from proxy.bundles.reading import BundleReading, Event
from proxy.bundles.tar_stream import Ended
from tests.bundles.tars import bundle, member, tar

_WHEEL = member("files/pypi/_/demo.whl", b"wheel", "file:pypi:demo::demo.whl"), b"wheel"
_MADE = member("README.txt", b"read"), b"read"
_GONE = member("files/pypi/_/gone.whl", b"gone", "file:pypi:gone::gone.whl", elsewhere=True), b""


def _read(data: bytes) -> list[Event | bytes]:
    found = list[Event | bytes]()
    with BundleReading() as reading:
        for start in range(0, len(data), 100):
            for event in reading.feed(data[start : start + 100]):
                found.append(bytes(event) if isinstance(event, memoryview) else event)
        reading.finish()
    return found


def _text(*members: BundleMember) -> bytes:
    return b"".join(encode(1.0, members))


def test_reading__manifest_members_bodies() -> None:
    """The manifest comes first, then what it lists; what is elsewhere is no gap."""
    found = _read(bundle(_MADE, _WHEEL, _GONE))

    assert isinstance(found[0], MemberTable)
    assert [_MADE[0], b"read", Ended(), _WHEEL[0], b"wheel", Ended()] == found[1:]


def test_reading__sums() -> None:
    """SHA256SUMS is not in every manifest, and is read past then."""
    data = tar([(MANIFEST, _text(_MADE[0])), (SUMS, b"abc  README.txt\n"), ("README.txt", b"read")])

    assert [_MADE[0], b"read", Ended()] == _read(data)[1:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tar([("other", b"x")]), "This is no bundle: it begins with other"),
        (tar([(MANIFEST, b"no json")]), f"{MANIFEST} cannot be read"),
        (tar([(MANIFEST, _text()), ("stray", b"x")]), f"stray is not in {MANIFEST}"),
        (tar([(MANIFEST, _text()), (MANIFEST, _text())]), f"{MANIFEST} is not in {MANIFEST}"),
        (tar([(MANIFEST, _text(_MADE[0])), ("README.txt", b"reads")]), "README.txt has 5 bytes, and .* 4"),
        (tar([(MANIFEST, _text(_MADE[0])), *[("README.txt", b"read")] * 2]), "README.txt is there twice"),
        (tar([(MANIFEST, _text(_GONE[0])), (_GONE[0].path, b"gone")]), "gone.whl is here, and .* elsewhere"),
        (tar([(MANIFEST, _text(_MADE[0], _WHEEL[0]))]), r"lacks README.txt, and 1 more\. Copy it again"),
        (tar([(MANIFEST, _text(_WHEEL[0]))]), r"lacks files/pypi/_/demo.whl\. Copy"),
        (bundle(_MADE)[:600], f"cut off within {MANIFEST}"),
        (bundle(_MADE)[:512], f"cut off within {MANIFEST}"),
        (b"", "is empty"),
    ],
)
def test_refusal__names_the_member(data: bytes, reason: str) -> None:
    """What does not go with its manifest is refused, and the reason names the member."""
    with pytest.raises(BadBundle, match=reason):
        _read(data)


def test_refusal__ten_million_members() -> None:
    """A tar of more members than its manifest has ends at the first of them."""
    data = tar([(MANIFEST, _text(_MADE[0])), ("README.txt", b"read"), *((f"{number}", b"") for number in range(50))])

    with BundleReading() as reading, pytest.raises(BadBundle, match=r"^0 is not in"):
        list(reading.feed(data))
