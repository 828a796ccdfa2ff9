"""Fronts of archives: what is written, and which addresses are below."""

from __future__ import annotations

import pytest

from proxy.config.fronts import Front


@pytest.mark.parametrize(
    ("text", "shown", "places"),
    [
        ("Deb.Example", "deb.example/", {"deb.example:80", "deb.example:443"}),
        ("deb.example/", "deb.example/", {"deb.example:80", "deb.example:443"}),
        ("deb.example.:443/a", "https://deb.example/a/", {"deb.example:443"}),
        ("deb.example:80", "http://deb.example/", {"deb.example:80"}),
        ("10.0.0.7:8080/a/b", "10.0.0.7:8080/a/b/", {"10.0.0.7:8080"}),
        ("https://deb.example:443/a%2Bb/", "https://deb.example/a%2Bb/", {"deb.example:443"}),
        ("http://[2001:DB8::1]:81", "http://[2001:db8::1]:81/", {"[2001:db8::1]:81"}),
        ("HTTPS://deb.example", "https://deb.example/", {"deb.example:443"}),
    ],
)
def test_read(text: str, shown: str, places: set[str]) -> None:
    """One spelling, that is read back to the same."""
    front = Front.read(text)

    assert (shown, frozenset(places)) == (str(front), front.places)
    assert front == Front.read(shown)


@pytest.mark.parametrize(
    "text",
    ["", "/a", "ftp://deb.example", "user:hunter2@deb.example", "https://user:hunter2@deb.example/a", "deb.example?a=b",
     "deb.example/../a", "a b", "deb.example:0", "deb.example:99999", "http://", "a..b"],
)  # fmt: skip
def test_read__malformed(text: str) -> None:
    """What is refused is not shown: a password may stand in it."""
    with pytest.raises(ValueError, match=r".") as refused:
        Front.read(text)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("front", "url", "expected"),
    [
        ("deb.example", "http://deb.example/a", True),
        ("deb.example", "https://deb.example./a", True),
        ("deb.example", "https://deb.example:443/a", True),
        ("deb.example", "http://deb.example:8080/a", False),
        ("deb.example", "http://other.example/a", False),
        ("deb.example", "http://sub.deb.example/a", False),
        ("deb.example/a", "http://deb.example/a/b", True),
        ("deb.example/a", "http://deb.example/ab", False),
        ("deb.example/a", "http://deb.example/a", False),
        ("deb.example/a+b", "http://deb.example/a%2bb/c", True),
        ("deb.example:8080", "http://deb.example:8080/a", True),
        ("deb.example:8080", "https://deb.example:8080/a", True),
        ("https://deb.example", "http://deb.example/a", False),
        ("https://deb.example", "https://deb.example/a", True),
        ("http://deb.example", "https://deb.example/a", True),
        ("http://deb.example:8080", "https://deb.example:8080/a", False),
        ("http://deb.example:8080", "https://deb.example/a", False),
        ("[2001:db8::1]", "http://[2001:db8::1]/a", True),
    ],
)
def test_covers(front: str, url: str, expected: bool) -> None:
    """Below it is what begins with it, segment by segment, at the same host and port."""
    assert expected == Front.read(front).covers_url(url)
