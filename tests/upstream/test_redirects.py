"""Addresses and redirects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from proxy.errors import NotAllowed, UpstreamBroken
from proxy.upstream.redirects import follow, headers_for, parse

HERE = parse("https://index.example/simple/demo/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://files.example/a%2Bb/c%20d?sig=%2F#sha256=00", "https://files.example/a%2Bb/c%20d?sig=%2F"),
        ("http://files.example/a b/ü", "http://files.example/a%20b/%C3%BC"),
        ("http://127.0.0.1:8080/a+b~c", "http://127.0.0.1:8080/a+b~c"),
        ("http://[::1]:81/x", "http://[::1]:81/x"),
    ],
)
def test_parse__kept_as_written(text: str, expected: str) -> None:
    """The percent-encoding of an address is upstream's business; only what may not stand in one is encoded."""
    assert expected == str(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "ftp://files.example/x",
        "file:///etc/passwd",
        "//files.example/x",
        "/x",
        "http:///x",
        "http://user:secret@files.example/x",
        "http://index.example\\@files.example/",
        "http://files.example:99999/",
        "http://files.example:0/",
        "http://files.example/\r\nX: 1",
        "http://files.example/\x00",
        "http://[fe80::1%25eth0]/",
        "http://fil%65s.example/",
    ],
)
def test_parse__address_that_is_not_asked(text: str) -> None:
    """Other schemes, credentials, control characters and disguised hosts are refused."""
    with pytest.raises(NotAllowed):
        parse(text)


@given(st.text())
def test_parse__any_text(text: str) -> None:
    """Whatever text comes, it is an http address in ASCII or refused."""
    try:
        url = parse("http://files.example/" + text)
    except NotAllowed:
        return
    assert url.raw_host == "files.example"
    assert str(url).isascii()
    assert all(character > " " for character in str(url))


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://cdn.example/x?sig=a%2Bb", "https://cdn.example/x?sig=a%2Bb"),
        ("/other/", "https://index.example/other/"),
        ("../six/", "https://index.example/simple/six/"),
        ("//cdn.example/y", "https://cdn.example/y"),
        ("?page=2", "https://index.example/simple/demo/?page=2"),
        ("/\xc3\xbc", "https://index.example/%C3%BC"),
    ],
)
def test_follow__location(location: str, expected: str) -> None:
    """Absolute and relative references are resolved against the address that redirected (RFC 3986 §5.2)."""
    assert expected == str(follow(HERE, location))


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "http://index.example/",
        "javascript:alert(1)",
        "ftp://cdn.example/",
        "https://user@cdn.example/",
        "https://cdn.example/\x0bx",
        "https://cdn.example:bad/",
    ],
)
def test_follow__location_that_is_not_followed(location: str | None) -> None:
    """From https only to https, and never to what is no plain address."""
    with pytest.raises(UpstreamBroken):
        follow(HERE, location)


def test_follow__from_http_to_https() -> None:
    """The way to more safety is open."""
    assert str(follow(URL("http://index.example/"), "https://index.example/x")) == "https://index.example/x"


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("https://index.example/x", {"Authorization", "Cookie", "Range"}),
        ("https://INDEX.example:443/x", {"Authorization", "Cookie", "Range"}),
        ("https://index.example:444/x", {"Range"}),
        ("https://cdn.example/x", {"Range"}),
    ],
)
def test_headers_for__credentials(target: str, names: set[str]) -> None:
    """Credentials stay with the origin that they were given for."""
    headers = {"Authorization": "Basic x", "Cookie": "a=b", "Range": "bytes=0-1"}
    assert names == set(headers_for(parse(target), HERE, headers))
