"""Manifests as exports write them, and as nobody should."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from proxy.bundles.manifest import BadBundle, BundleMember, Manifest, decode, encode
from proxy.model import Digest, Entry, Validator

_BODY = b"a wheel"
_SHA256 = hashlib.sha256(_BODY).hexdigest()
_KEY = "file:pypi:demo::packages/demo-1-py3-none-any.whl"
_PATH = "files/pypi/_/packages/demo-1-py3-none-any.whl"


def _entry(key: str = _KEY) -> Entry:
    return Entry(
        key,
        "https://files.example/demo.whl",
        Digest("sha256", _SHA256),
        len(_BODY),
        "application/octet-stream",
        Validator('"e"'),
        1_789_000_000.25,
        1_789_000_001.5,
        Digest("sha512", "ab" * 64),
    )


_MEMBER = BundleMember(_PATH, len(_BODY), _SHA256, (_entry(),))
_MADE = BundleMember("README.txt", 3, hashlib.sha256(b"abc").hexdigest())


def _text(*members: BundleMember) -> bytes:
    return b"".join(encode(1_790_000_000.5, members))


def test_manifest__comes_back_as_it_was() -> None:
    """Entries, times and what is elsewhere survive; a member is one line."""
    gone = BundleMember("files/a/_/b", 1, "00" * 32, elsewhere=True)

    text = _text(_MADE, _MEMBER, gone)

    assert Manifest(1_790_000_000.5, (_MADE, _MEMBER, gone)) == decode(text)
    assert 5 == text.count(b"\n")
    assert ["path", "size", "sha256"] == list(json.loads(text)["members"][0])


def test_manifest__of_nothing_is_one() -> None:
    """An empty list is JSON, too."""
    assert Manifest(1.0, ()) == decode(b"".join(encode(1.0, ())))


def test_manifest__of_a_later_format_is_left_alone() -> None:
    """A later format may look like anything; the message says what to do."""
    with pytest.raises(BadBundle, match=r"format 2.*Update pullthrough"):
        decode(b'{"format": 2, "members": "elsewhere"}')


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"\xff", _text(_MEMBER)[:-4], b'{"format": 1}', b"[" * 100_000, b'{"format": "1"}']
)
def test_manifest__that_is_none_is_refused(text: bytes) -> None:
    """The message names the member."""
    with pytest.raises(BadBundle, match="MANIFEST"):
        decode(text)


def _changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    table = json.loads(_text(_MADE, _MEMBER))
    change(table["members"][1])
    return json.dumps(table).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda member: member.update(path="/etc/passwd"),
        lambda member: member.update(path="files/../../x"),
        lambda member: member.update(path=""),
        lambda member: member.update(path="MANIFEST.json"),
        lambda member: member.update(path="README.txt"),
        lambda member: member.update(path="a\nb"),
        lambda member: member.update(size=-1),
        lambda member: member.update(size=8),
        lambda member: member.update(sha256="AB" * 32),
        lambda member: member.update(sha256="ab" * 32),
        lambda member: member["entries"][0]["digest"].update(algorithm="md5"),
        lambda member: member["entries"][0]["promised"].update(value="ab"),
        lambda member: member["entries"].append(member["entries"][0]),
        lambda member: member["entries"][0].pop("key"),
    ],
)
def test_manifest__that_no_export_writes_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    """Paths that lead outside, sizes and digests that are none, and entries of other files."""
    with pytest.raises(BadBundle, match="MANIFEST"):
        decode(_changed(change))
