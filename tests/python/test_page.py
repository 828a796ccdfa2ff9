"""`proxy.python.page`."""

from __future__ import annotations

from proxy.model import ALGORITHMS, Digest
from proxy.python.page import File, digest_of, digests_of_fragment, digests_of_table, trust

HEX = "0123456789abcdef" * 4
SHA256, MD5 = Digest("sha256", HEX), Digest("md5", HEX[:32])


def test_best_digest__first() -> None:
    """The first digest is the most trusted."""
    assert File("x.whl", "https://files.example/x.whl", (SHA256, MD5)).best_digest == SHA256


def test_best_digest__none() -> None:
    """A hash that cannot be checked is no digest."""
    assert File("x.whl", "https://files.example/x.whl", (), {"blake2b": "00"}).best_digest is None


# Hashes that a page gives


def test_digests_of_table__what_can_be_checked_and_the_rest() -> None:
    """The most trusted first; what cannot be checked is kept as it came."""
    table = {"md5": HEX[:32], "sha256": HEX, "blake2b": "00", "sha1": 3}
    assert ((SHA256, MD5), {"blake2b": "00", "sha1": 3}) == digests_of_table(table)


def test_digests_of_fragment__a_digest_alone_or_among_others() -> None:
    """What is just a digest is not kept as text; what says more is."""
    assert ("", (SHA256,)) == digests_of_fragment(f"sha256={HEX}")
    assert (f"egg=x&sha256={HEX}", (SHA256,)) == digests_of_fragment(f"egg=x&sha256%3D{HEX}")
    assert ("main", ()) == digests_of_fragment("main")
    assert ("", ()) == digests_of_fragment("")


def test_digest_of__no_digest() -> None:
    """A value of another length, or an algorithm that is not known, is none."""
    assert digest_of("sha256", HEX[1:]) is None
    assert digest_of("sha3", HEX) is None
    assert Digest("sha256", HEX) == digest_of("sha256", HEX.upper())


def test_trust__in_the_order_of_the_algorithms() -> None:
    """No digest comes last."""
    digests = [*(Digest(algorithm, "") for algorithm in ALGORITHMS), None]
    assert list(range(len(ALGORITHMS) + 1)) == [trust(digest) for digest in digests]
