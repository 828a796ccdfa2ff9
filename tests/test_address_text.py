"""How addresses are spelt: what is read, and what is refused because it could be read in two ways."""

from __future__ import annotations

import pytest

from proxy.address_text import bounded, decoded, host, plain
from proxy.errors import BadTarget


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Files.Example", ("files.example", None)),
        ("files.example:8080", ("files.example", 8080)),
        ("10.0.0.7:1", ("10.0.0.7", 1)),
        ("[2001:DB8::0:1]:443", ("[2001:db8::1]", 443)),
        ("a_b.example", ("a_b.example", None)),
    ],
)
def test_host__one_spelling(text: str, expected: tuple[str, int | None]) -> None:
    """Lower case, an IPv6 address in its shortest form, and the port apart."""
    assert expected == host(text)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a..b", ".a", "a.", "-a", "a b", "a/b", "user@a", "a:0", "a:65536", "a:01", "a:", "[::1", "[a]",
        "[1:2]", "ä.example", "a" * 254, "a\n",
    ],
)  # fmt: skip
def test_host__none(text: str) -> None:
    """Anything else is no host."""
    with pytest.raises(BadTarget):
        host(text)


@pytest.mark.parametrize(
    ("path", "expected"), [("a/b", "a/b"), ("a%2Bb+c", "a+b+c"), ("%C3%A4", "ä"), ("a%253a", "a%3a"), ("", "")]
)
def test_decoded__once(path: str, expected: str) -> None:
    """A path is decoded once, and plus signs are plus signs."""
    assert expected == decoded(path)


@pytest.mark.parametrize("path", ["%", "%2", "%zz", "a%2Fb", "a%2fb", "%ff", "%5c", "a\\b", "%00", "a%0Ab", "a\x7f"])
def test_decoded__refused(path: str) -> None:
    """What programs read in different ways is read in none."""
    with pytest.raises(BadTarget):
        decoded(path)


def test_bounded() -> None:
    """Bytes count, of each segment and of all."""
    bounded(["ä" * 127, "b"], 256)
    for segments, most in ((["ä" * 128], 1000), (["a", "b"], 2), (["\ud800"], 1000)):
        with pytest.raises(BadTarget):
            bounded(segments, most)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("::ffff:10.0.0.7", "10.0.0.7"), ("10.0.0.7", "10.0.0.7"), ("::ffff:a00:7", "::ffff:a00:7"), ("::1", "::1")],
)
def test_plain(given: str, expected: str) -> None:
    """As sockets give it, an address of IPv4 within IPv6 is one of IPv4."""
    assert expected == plain(given)
