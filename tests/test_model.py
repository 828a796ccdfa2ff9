"""The values that every room speaks."""

from __future__ import annotations

import hashlib

import pytest

from proxy.model import ALGORITHMS, Digest, Outcome, Site, Source, Validator


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_parse__what_it_prints(algorithm: str) -> None:
    """A digest of each algorithm is read back from its text, in any case."""
    digest = Digest(algorithm, hashlib.new(algorithm, b"body").hexdigest())
    assert digest == Digest.parse(str(digest))
    assert digest == Digest.parse(str(digest).upper())


@pytest.mark.parametrize(
    "text",
    ["", "main", "egg=name", "sha256", "sha256=", "sha256=abc", f"sha256={'g' * 64}", f"md5={'0' * 64}", "sha3_256=00"],
)
def test_parse__no_digest_that_can_be_checked(text: str) -> None:
    """Fragments that mean something else, and hashes that nobody here can check, are none."""
    assert Digest.parse(text) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_strong__where_two_files_cannot_be_made(algorithm: str) -> None:
    """Collisions of md5 and sha1 can be made."""
    assert (algorithm not in ("md5", "sha1")) is Digest(algorithm, "").strong


@pytest.mark.parametrize(
    ("validator", "strong"),
    [
        (Validator(), None),
        (Validator('"a"'), '"a"'),
        (Validator('W/"a"'), None),
        (Validator('W/"a"', "Wed, 21 Oct 2015 07:28:00 GMT"), "Wed, 21 Oct 2015 07:28:00 GMT"),
        (Validator('"a"', "Wed, 21 Oct 2015 07:28:00 GMT"), '"a"'),
    ],
)
def test_strong__what_may_stand_in_if_range(validator: Validator, strong: str | None) -> None:
    """A weak ETag may not (RFC 9110 §13.1.5)."""
    assert strong == validator.strong


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Validator('"a"'), Validator('"a"'), True),
        (Validator('"a"'), Validator('"b"'), False),
        (Validator('"a"', "Monday"), Validator('"a"', "Tuesday"), True),
        (Validator('"a"', "Monday"), Validator('"b"', "Monday"), False),
        (Validator('"a"', "Monday"), Validator(None, "Monday"), True),
        (Validator('"a"', "Monday"), Validator(None, "Tuesday"), False),
        (Validator('"a"'), Validator(None, "Monday"), None),
        (Validator(None, "Monday"), Validator(), None),
        (Validator(), Validator(), None),
    ],
)
def test_same__of_one_version(one: Validator, other: Validator, same: bool | None) -> None:
    """ETags decide where both have one, else dates; where nothing can be compared, nobody knows."""
    assert [same, same] == [one.same(other), other.same(one)]


@pytest.mark.parametrize(
    ("url", "owned"),
    [
        ("https://index.example/simple/x/", True),
        ("https://INDEX.example./elsewhere", True),
        ("https://index.example:443/", True),
        ("https://index.example:8443/", False),
        ("http://index.example/", False),
        ("https://pages.example:8443/", True),
        ("http://[::1]:81/", True),
        ("http://[::1]:82/", False),
        ("https://evil.example/index.example/", False),
        ("https://index.example@evil.example/", False),
        ("https://index.example.evil.example/", False),
        ("ftp://index.example/", False),
        ("https://[/", False),
    ],
)
def test_site__owns(url: str, owned: bool) -> None:
    """A page is an index's own by the host and port that it came from, after all redirects."""
    site = Site(
        "x", "https://index.example/simple/", "", 1.0, own=frozenset({"index.example:443", "pages.example", "[::1]:81"})
    )
    assert owned == site.owns(url)
    assert Site("x", "https://index.example/", "", 1.0).owns(url)


@pytest.mark.parametrize(
    ("outcome", "source"),
    [
        (Outcome.HIT, Source.CACHE),
        (Outcome.STALE, Source.CACHE),
        (Outcome.REVALIDATED, Source.CACHE),
        (Outcome.SHARED, Source.SHARED),
        (Outcome.MISS, Source.UPSTREAM),
    ],
)
def test_source__of_an_outcome(outcome: Outcome, source: Source) -> None:
    """What was fetched for a client came from upstream, what it shared from another's download, else from the cache."""
    assert source is outcome.source


@pytest.mark.parametrize("source", Source)
def test_outcome__of_a_source(source: Source) -> None:
    """It is the one that this source stands for."""
    assert source is source.outcome.source
