"""Addresses of archives: what is read, in which forms, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.apt.addresses import ArchiveAddress, is_prefix, parse, parse_proxied, prefix
from proxy.errors import BadTarget

FILE = ArchiveAddress("http", "deb.example", "debian/dists/stable/InRelease")
SECURE = ArchiveAddress("https", "deb.example", "debian/dists/stable/InRelease")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/deb.example/debian/dists/stable/InRelease", FILE),
        ("/DEB.example:80/debian/dists/stable/InRelease", FILE),
        ("/deb.example//debian/./dists/stable//./InRelease", FILE),
        ("/deb.example/debian/dists/%73table/InRelease", FILE),
        ("/HTTPS///deb.example/debian/dists/stable/InRelease", SECURE),
        ("/HTTPS/deb.example/debian/dists/stable/InRelease", SECURE),
        ("/HTTPS///deb.example:443/debian/dists/stable/InRelease", SECURE),
        ("/deb.example./debian/dists/stable/InRelease", FILE),
        ("/deb.example.:80/debian/dists/stable/InRelease", FILE),
        ("/HTTPS///deb.example./debian/dists/stable/InRelease", SECURE),
        ("/deb.example/projects/a%2Fb/c", ArchiveAddress("http", "deb.example", "projects/a\\b/c")),
        ("/deb.example:8080/a", ArchiveAddress("http", "deb.example:8080", "a")),
        ("/[2001:DB8::1]/a", ArchiveAddress("http", "[2001:db8::1]", "a")),
        ("/[2001:db8:0:0::1]:8080/a", ArchiveAddress("http", "[2001:db8::1]:8080", "a")),
        ("/deb.example/", ArchiveAddress("http", "deb.example", "")),
        ("/deb.example", ArchiveAddress("http", "deb.example", "")),
        (
            "/deb.example/pool/g%2b%2b_1%3a2~x_amd64.deb",
            ArchiveAddress("http", "deb.example", "pool/g++_1:2~x_amd64.deb"),
        ),
        ("/deb.example/pool/g++_1:2%7ex_amd64.deb", ArchiveAddress("http", "deb.example", "pool/g++_1:2~x_amd64.deb")),
        ("/deb.example/icons-64x64@2.tar.gz", ArchiveAddress("http", "deb.example", "icons-64x64@2.tar.gz")),
        ("/deb.example/pool/", ArchiveAddress("http", "deb.example", "pool/")),
        ("/deb.example/pool/.", ArchiveAddress("http", "deb.example", "pool/")),
    ],
)
def test_parse(target: str, expected: ArchiveAddress) -> None:
    """All spellings of an address give one value."""
    assert expected == parse(target)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://deb.example/debian/dists/stable/InRelease", FILE),
        ("HTTP://deb.example:80/debian/dists/stable/InRelease", FILE),
        ("http://HTTPS///deb.example/debian/dists/stable/InRelease", SECURE),
        ("http://HTTPS//deb.example/debian/dists/stable/InRelease", SECURE),
        ("http://https///deb.example/debian/dists/stable/InRelease", SECURE),
        ("http://me:p%40ss@https/deb.example/debian/dists/stable/InRelease", SECURE),
        ("http://deb.example./debian/dists/stable/InRelease", FILE),
        ("http://me:p%40ss@deb.example/debian/dists/stable/InRelease", FILE),
        ("http://other.example@deb.example:80/debian/dists/stable/InRelease", FILE),
        ("http://deb.example", ArchiveAddress("http", "deb.example", "")),
    ],
)
def test_parse_proxied(target: str, expected: ArchiveAddress) -> None:
    """The proxy form gives the same values."""
    assert expected == parse_proxied(target)


@pytest.mark.parametrize(
    "target",
    [
        "deb.example/a", "/deb.example/../a", "/deb.example/%2E%2e/a", "/deb.example/a%2F..%2Fb",
        "/deb.example/a%2F..", "/deb.example/a\\b",
        "/deb.example/a%5cb", "/deb.example/a%0ab", "/deb.example/a%7f", "/deb.example/%C2%85", "/deb.example/%",
        "/deb.example/%4", "/deb.example/%ff", "/deb.example/a?b", "/deb.example/a#b", "/a@deb.example/a",
        "/deb..example/a",
        "/.deb/a", "/deb../a", "/[::1]./a", "/deb.:8080./a",
        "/-deb.example/a", "/deb.example:0/a", "/deb.example:65536/a", "/deb.example:/a",
        "/deb.example:443/a", "/HTTPS///deb.example:80/a", "/HTTPS", "/HTTPS///", "/[::1/a", "/[1.2.3]/a", "/[::1]x/a",
        "/d%65b.example/a", "/deb.example/" + 256 * "a", "/deb.example" + 700 * "/abc", "/" + 255 * "a" + "/a", "//a",
    ],
)  # fmt: skip
def test_parse__malformed(target: str) -> None:
    """What can be read in two ways, or in none, is refused."""
    with pytest.raises(BadTarget):
        parse(target)


@pytest.mark.parametrize(
    "path", ["/https://deb.example/a", "/http://deb.example/a", "/HTTP:/deb.example/a", "/https:/"]
)
def test_parse__whole_address(path: str) -> None:
    """Somebody wrote the cache in front of an address as it is: the message has the form that is right."""
    with pytest.raises(BadTarget, match="/HTTPS///<host>/<path> where the archive has https"):
        parse(path)
    with pytest.raises(BadTarget, match="/HTTPS///<host>/<path> where the archive has https"):
        parse_proxied(f"http:/{path}")


@pytest.mark.parametrize(
    "path", ["/me:s3cret@deb.example/a", "/s3cret@deb.example/a", "/HTTPS///me:s3cret@deb.example/a"]
)
def test_parse__password(path: str) -> None:
    """In prefix form apt sends nothing of it as credentials, so it would be lost: the message has where it belongs."""
    with pytest.raises(BadTarget, match=r"auth\.conf") as caught:
        parse(path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "target", ["https://deb.example/a", "ftp://deb.example/a", "deb.example/a", "http://a@/c", "http://@"]
)
def test_parse_proxied__malformed(target: str) -> None:
    """The proxy form is http, with a plain host."""
    with pytest.raises(BadTarget):
        parse_proxied(target)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/deb.example/a", True), ("/localhost:8080/a", True), ("/[::1]/a", True), ("/HTTPS///a", True),
        ("/HTTPS/a", True),
        ("/pypi/simple/", False), ("/metrics", False), ("/favicon.ico", False), ("/HTTPS", False),
        ("/", False), ("/pypi/a.b/", False), ("/https/a", False),
    ],
)  # fmt: skip
def test_is_prefix(path: str, expected: bool) -> None:
    """A host has a dot, a port or a bracket; a mount has none."""
    assert expected == is_prefix(path)


def test_url__is_encoded() -> None:
    """Where no client spelt it, what may stand for itself does so, but for the plus sign, as apt has it."""
    address = ArchiveAddress("https", "deb.example", "pool/g++_1:2~x@ä_amd64.deb")

    assert "https://deb.example/pool/g%2B%2B_1:2~x@%C3%A4_amd64.deb" == address.url
    assert "https://deb.example/pool/g++_1:2~x@ä_amd64.deb" == address.key


@pytest.mark.parametrize(
    "path",
    [
        "pool/g++_1:2~x@_amd64.deb", "pool/g%2b%2B_1%3a2%7ex%40_amd64.deb", "a/(b)!$&'*,;=.deb", "a%20b/c%28.deb",
        "projects/a%2Fb%2fc/d/", "a%25%2B/b.deb", "%C3%A4/b", "plain/path.deb",
    ],
)  # fmt: skip
def test_url__as_the_client_spelt_it(path: str) -> None:
    """A server may tell `+` from `%2B` (RFC 3986 §2.2); in the cache both are one file."""
    address = parse(f"/deb.example/{path}")

    assert f"http://deb.example/{path}" == address.url
    assert f"/deb.example/{path}" == prefix(address)
    assert ArchiveAddress("http", "deb.example", address.path) == address


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/deb.example/a//b+c/./d/", "http://deb.example/a/b+c/d/"),
        ("/deb.example/%2e/a+b", "http://deb.example/a+b"),
        ('/deb.example/a"b+c/d+e', "http://deb.example/a%22b%2Bc/d+e"),
    ],
)
def test_url__smoothed(target: str, url: str) -> None:
    """What is left out is left out of the spelling, and what is no spelling of RFC 3986 is encoded."""
    assert url == parse(target).url


def test_at() -> None:
    """What an address shares with the one that it is made of is spelt as that one; the rest as usual."""
    address = parse("/deb.example/a+b/c:d/dists/x+y/InRelease")

    assert "http://deb.example/a+b/c:d/dists/x+y/main/z%2B" == address.at("a+b/c:d/dists/x+y/main/z+").url
    assert "http://deb.example/" == address.at("").url
    assert "http://deb.example/a+b/" == address.at("a+b/").url
    assert "http://deb.example/%2B/c:d" == address.at("+/c:d").url


@pytest.mark.parametrize(
    ("scheme", "host", "usual", "whole"),
    [
        ("http", "a.b", True, "a.b:80"),
        ("https", "a.b", True, "a.b:443"),
        ("http", "a.b:8080", False, "a.b:8080"),
        ("http", "[::1]", True, "[::1]:80"),
        ("https", "[::1]:81", False, "[::1]:81"),
    ],
)
def test_port(scheme: str, host: str, usual: bool, whole: str) -> None:
    """The default port is never written in an address."""
    address = ArchiveAddress(scheme, host, "a")

    assert (usual, whole) == (address.has_usual_port, address.host_and_port)


LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9_])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
PORTS = st.sampled_from(["", ":81", ":8080", ":65535"])
HOSTS = st.builds("".join, st.tuples(NAMES | st.just("[2001:db8::1]"), PORTS))
SEGMENTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1, max_size=60
).filter(lambda text: text not in {".", ".."})
PATHS = st.builds(
    lambda parts, end: "/".join(parts) + end, st.lists(SEGMENTS, min_size=1, max_size=5), st.sampled_from(["", "/"])
)
ADDRESSES = st.builds(ArchiveAddress, st.sampled_from(["http", "https"]), HOSTS, PATHS)


@given(ADDRESSES)
def test_round_trip(address: ArchiveAddress) -> None:
    """What is written is read back, in both forms, and cannot be mistaken for a mount."""
    path = prefix(address)

    assert is_prefix(path)
    assert address == parse(path)
    assert address == parse_proxied(f"http:/{path}")


@given(ADDRESSES, ADDRESSES)
def test_keys__differ(one: ArchiveAddress, other: ArchiveAddress) -> None:
    """Two addresses never share a key."""
    assert (one == other) == (one.key == other.key)


@given(st.text(max_size=80))
def test_parse__anything(text: str) -> None:
    """Any text is an address or is refused as malformed; what is read has no way up and no control character."""
    try:
        address = parse(f"/{text}")
    except BadTarget:
        return
    assert ".." not in address.path.split("/")
    assert "//" not in address.path
    assert address == parse(prefix(address))
