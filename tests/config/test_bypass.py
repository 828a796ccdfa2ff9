"""NO_PROXY, in the forms that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.bypass import Bypass


@pytest.mark.parametrize(
    ("text", "covered", "others"),
    [
        ("", "", "a.example:80 127.0.0.1:80 localhost:80"),
        ("*", "a.example:80 10.0.0.1:443 localhost:1", ""),
        ("a.example, *", "b.example:80", ""),
        (
            "corp.example",
            "corp.example:443 index.corp.example:443 a.b.corp.example:80",
            "notcorp.example:443 corp.example.org:80",
        ),
        (".corp.example", "index.corp.example:443 corp.example:443", "notcorp.example:443"),
        ("*.corp.example", "index.corp.example:443 corp.example:443", "notcorp.example:443"),
        ("CORP.example.", "index.corp.example:80 corp.example.:80", "example:80"),
        ("localhost", "localhost:80 cache.localhost:80", "127.0.0.1:80"),
        ("localhost,127.0.0.1", "127.0.0.1:80 localhost:80", "127.0.0.2:80 ::1:80"),
        ("a.example  b.example,\tc.example,,", "a.example:1 b.example:1 c.example:1", "d.example:1"),
        ("10.0.0.0/8", "10.1.2.3:80", "11.1.2.3:80 ten.example:80"),
        ("10.1.2.3/8", "10.9.9.9:80", "11.1.2.3:80"),
        ("10.1.2.3", "10.1.2.3:80", "10.1.2.30:80 10.1.2.4:80"),
        ("::1", "::1:80", "::2:80"),
        ("[::1]", "::1:80", "::2:80"),
        ("fd00::/8", "fd12::1:443", "fe80::1:443 10.0.0.1:443"),
        ("a.example:8080", "a.example:8080 b.a.example:8080", "a.example:80 a.example:443"),
        ("10.0.0.1:8080", "10.0.0.1:8080", "10.0.0.1:80"),
        ("[::1]:8080", "::1:8080", "::1:80"),
        ("10.0.0.0/8:8080", "10.0.0.1:8080", "10.0.0.1:80"),
        ("*:8080", "a.example:8080", "a.example:80"),
        ("3.4", "", "1.2.3.4:80"),
        ("10.0.0.0/99 http://a.example a.example/x .", "", "10.0.0.1:80 a.example:80 example:80"),
    ],
)
def test_covers(text: str, covered: str, others: str) -> None:
    """Each form covers what it says, and nothing else."""
    bypass = Bypass.read(text)

    for place in covered.split():
        host, _, port = place.rpartition(":")
        assert bypass.covers(host, int(port)), place
    for place in others.split():
        host, _, port = place.rpartition(":")
        assert not bypass.covers(host, int(port)), place


@pytest.mark.parametrize(
    ("text", "expected"), [("*", True), ("a,*", True), ("*:80", False), ("*.a", False), ("", False)]
)
def test_covers_all(text: str, expected: bool) -> None:
    """A star alone says that there is no proxy."""
    assert expected == Bypass.read(text).covers_all


@given(st.text(max_size=200), st.text(max_size=50), st.integers(1, 65535))
def test_read__anything(text: str, host: str, port: int) -> None:
    """The variable is other programs' too: nothing in it is an error here."""
    assert Bypass.read(text).covers(host, port) in {True, False}
