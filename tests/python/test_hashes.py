"""Hashes that a page gives."""

from __future__ import annotations

from proxy.model import Digest
from proxy.python import hashes

HEX = "0123456789abcdef" * 4
SHA256, MD5 = Digest("sha256", HEX), Digest("md5", HEX[:32])


def test_of_table__what_can_be_checked_and_the_rest() -> None:
    """The most trusted first; what cannot be checked is kept as it came."""
    table = {"md5": HEX[:32], "sha256": HEX, "blake2b": "00", "sha1": 3}
    assert ((SHA256, MD5), {"blake2b": "00", "sha1": 3}) == hashes.of_table(table)


def test_of_fragment__a_digest_alone_or_among_others() -> None:
    """What is just a digest is not kept as text; what says more is."""
    assert ("", (SHA256,)) == hashes.of_fragment(f"sha256={HEX}")
    assert (f"egg=x&sha256={HEX}", (SHA256,)) == hashes.of_fragment(f"egg=x&sha256%3D{HEX}")
    assert ("main", ()) == hashes.of_fragment("main")
    assert ("", ()) == hashes.of_fragment("")


def test_digest_of__no_digest() -> None:
    """A value of another length, or an algorithm that is not known, is none."""
    assert hashes.digest_of("sha256", HEX[1:]) is None
    assert hashes.digest_of("sha3", HEX) is None
    assert Digest("sha256", HEX) == hashes.digest_of("sha256", HEX.upper())
