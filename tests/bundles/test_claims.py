"""What a manifest says of a body, held against its bytes."""

from __future__ import annotations

import hashlib
import math

import pytest
from msgspec import structs

from proxy.bundles.claims import BodyHashes, claims, known
from proxy.bundles.manifest import BadBundle, BundleMember
from proxy.model import Digest, Validator
from tests.bundles.tars import entry, member, sha256

_BODY = b"Package: demo\n"
_SHA512 = hashlib.sha512(_BODY).hexdigest()
_MD5 = hashlib.md5(_BODY, usedforsecurity=False).hexdigest()
_WRONG = "ab" * 64
_SUITE = "http://archive.example/debian/dists/stable/"
_FILE = "file:pypi:demo::demo.whl"


def _check(one: BundleMember, body: bytes = _BODY) -> None:
    hashes = BodyHashes(one)
    hashes.update([body[:3], memoryview(body[3:])])
    hashes.check()


@pytest.mark.parametrize(
    "key",
    [
        _FILE,
        f"digest:sha512={_SHA512}",
        f"apt:index:{_SUITE}:{sha256(_BODY)}:main/binary-amd64/Packages",
        f"apt:index:{_SUITE}:{_MD5}:main/binary-amd64/Packages",
    ],
)
def test_check__true_claims(key: str) -> None:
    """A body may have any address that fits its bytes."""
    _check(
        member("a", _BODY, key, entry(f"{key}/2", _BODY, promised=Digest("sha512", _SHA512)))
        if key == _FILE
        else member("a", _BODY, key)
    )


def test_check__wrong_bytes() -> None:
    """Other bytes than the manifest's are refused by the member's name."""
    with pytest.raises(BadBundle, match="files/demo is damaged"):
        _check(member("files/demo", _BODY), b"Package: evil\n")


@pytest.mark.parametrize(
    ("key", "promised"),
    [
        (_FILE, Digest("sha512", _WRONG)),
        (_FILE, Digest("md5", _WRONG[:32])),
        (_FILE, Digest("sha256", _WRONG[:64])),
        (f"digest:sha512={_WRONG}", None),
        (f"apt:index:{_SUITE}:{_WRONG[:64]}:main/binary-amd64/Packages", None),
        (f"apt:index:{_SUITE}:{_WRONG[:32]}:main/binary-amd64/Packages", None),
        (f"apt:index:http://archive.example/:{sha256(_BODY)}:x:{_WRONG[:64]}:Packages", None),
    ],
)
def test_check__false_claims(key: str, promised: Digest | None) -> None:
    """No entry can give a body a digest that it does not have: the store would believe it ever after."""
    with pytest.raises(BadBundle, match="files/demo is wrong"):
        _check(member("files/demo", _BODY, entry(key, _BODY, promised=promised)))


def test_check__of_a_stored_body() -> None:
    """A body that is stored has the sha256 of its name, and is not hashed where nothing else is claimed."""
    one = BodyHashes(member("a", _BODY, entry(_FILE, _BODY, promised=Digest("sha256", sha256(_BODY)))))
    assert one.named
    one.check(sha256(_BODY))

    wrong = BodyHashes(member("a", _BODY, entry(_FILE, _BODY, promised=Digest("sha256", _WRONG[:64]))))
    assert wrong.named
    with pytest.raises(BadBundle, match="a is wrong"):
        wrong.check(sha256(_BODY))

    assert not BodyHashes(member("a", _BODY, f"digest:sha512={_SHA512}")).named


@pytest.mark.parametrize("key", ["digest:sha512=abc", "digest:SHA512=" + _SHA512, f"apt:index:{_SUITE}:{'a' * 33}:P"])
def test_claims__of_no_digest(key: str) -> None:
    """An address by something that is no digest is refused."""
    with pytest.raises(BadBundle, match="digest that is none"):
        list(claims(entry(key, _BODY)))


def test_known__kinds_and_times() -> None:
    """What means nothing here is left out, and nothing was confirmed in the future."""
    one = member("a", _BODY, "npm:demo", entry(_FILE, _BODY, math.inf), entry("page:pypi:demo:demo/", _BODY, 5.0))

    found = known(one, 1000.0)

    assert [(_FILE, 1000.0), ("page:pypi:demo:demo/", 5.0)] == [(one.key, one.checked) for one in found]


@pytest.mark.parametrize(
    "wrong",
    [
        structs.replace(entry(_FILE, _BODY), content_type="text/html\r\nSet-Cookie: a"),
        structs.replace(entry(_FILE, _BODY), validator=Validator("a\nb")),
        structs.replace(entry(_FILE, _BODY), validator=Validator(None, "\N{SNOWMAN}")),
        structs.replace(entry(_FILE, _BODY), url="https://a.example/\r\nHost: b"),
        structs.replace(entry(_FILE, _BODY), url="https://a.example/" + "a" * 9000),
    ],
)
def test_known__what_no_answer_has(wrong: object) -> None:
    """Nothing gets into the head of an answer or of a request that has no place there."""
    with pytest.raises(BadBundle, match="wrong of files/demo"):
        known(member("files/demo", _BODY, wrong), 1000.0)  # type: ignore[arg-type]
