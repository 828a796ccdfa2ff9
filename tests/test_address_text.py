"""The grammar of addresses: what is read, and what is refused because it could be read in two ways."""

from __future__ import annotations

import pytest

from proxy.address_text import (
    authority,
    bounded,
    bracketed,
    decoded,
    host,
    host_name,
    origin,
    parsed_host,
    target_without_user,
    unmapped,
)
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
    ("text", "expected"),
    [
        ("Files.Example.", ("files.example", None)),
        ("files.example.:8080", ("files.example", 8080)),
        ("files.example", ("files.example", None)),
    ],
)
def test_host__with_the_dot_of_the_root(text: str, expected: tuple[str, int | None]) -> None:
    """Where a complete name may end in a dot, it names the same host."""
    assert expected == host(text, rooted=True)


@pytest.mark.parametrize("text", [".", "a..", "[::1].", "a.:", "..:80"])
def test_host__dots_of_nothing(text: str) -> None:
    """A dot behind anything but a name is refused."""
    with pytest.raises(BadTarget):
        host(text, rooted=True)


@pytest.mark.parametrize(
    ("text", "expected"), [("Cache.Example.", "cache.example"), ("10.0.0.7", "10.0.0.7"), ("a_1", "a_1")]
)
def test_host_name(text: str, expected: str) -> None:
    """A name alone, in lower case and without the dot of the root."""
    assert expected == host_name(text)


@pytest.mark.parametrize("text", ["", "a:80", "[::1]", "::1", "a..b", "-a", "a b", "a\n", "a" * 254])
def test_host_name__none(text: str) -> None:
    """A port, brackets and what no name may have are refused."""
    with pytest.raises(BadTarget):
        host_name(text)


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [("2001:DB8::0:1", "[2001:db8::1]"), ("Bücher.example", "xn--bcher-kva.example"), ("a.example.", "a.example")],
)
def test_parsed_host(hostname: str, expected: str) -> None:
    """The host of an address that the library took apart gets its brackets back, and its name is put into ASCII."""
    assert expected == parsed_host(hostname)


@pytest.mark.parametrize("hostname", ["", "ä..b", "a b", "\u2488", "1:2"])
def test_parsed_host__none(hostname: str) -> None:
    """What is no host is refused."""
    with pytest.raises(BadTarget):
        parsed_host(hostname)


def test_bracketed() -> None:
    """Only an IPv6 address has brackets."""
    assert ("[::1]", "10.0.0.7", "a.example") == tuple(map(bracketed, ("::1", "10.0.0.7", "a.example")))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://A.example./b", ("http", "a.example", 80)),
        ("https://a.example:443", ("https", "a.example", 443)),
        ("https://user:password@[::1]:8443/", ("https", "::1", 8443)),
        ("ftp://a.example/", ("ftp", "a.example", 0)),
    ],
)
def test_origin(url: str, expected: tuple[str, str, int]) -> None:
    """Addresses of one server have one origin, whether or not the usual port is written out."""
    assert expected == origin(url)


def test_authority() -> None:
    """Host and port as they are written, in lower case, without user and password."""
    assert "a.example:80" == authority("http://user:password@A.example:80/b")
    assert "[::1]" == authority("https://[::1]/")


def test_origin__port_that_is_none() -> None:
    """A port that cannot be read is an error."""
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        origin("http://a.example:99999/")


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
def test_unmapped(given: str, expected: str) -> None:
    """As sockets give it, an address of IPv4 within IPv6 is one of IPv4."""
    assert expected == unmapped(given)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/HTTPS///me:s3cret@deb.example/debian/a", "/HTTPS///deb.example/debian/a"),
        ("/HTTPS/me:s3cret@deb.example/a", "/HTTPS/deb.example/a"),
        ("/me:s3cret@deb.example/a@1.deb", "/deb.example/a@1.deb"),
        ("/s3cret@deb.example/a", "/deb.example/a"),
        ("/http://me:s3cret@deb.example/a", "/http://deb.example/a"),
        ("/pypi/~files/me:s3cret@deb.example:8080/a", "/pypi/~files/deb.example:8080/a"),
        ("/pypi/~files/s3cret@deb.example/a", "/pypi/~files/deb.example/a"),
        ("/pypi/https:/me:s3cret@deb.example/a", "/pypi/https:/deb.example/a"),
        ("/me%3As3cret%40deb.example/a", "/deb.example/a"),
        ("/HTTPS///me:s3cret%40deb.example@deb.example/a", "/HTTPS///deb.example/a"),
        ("/HTTPS///:s3cret@", "/HTTPS///"),
        ("/x?url=https://me:s3cret@a.example/b&c=d@e", "/x?url=https://a.example/b&c=d@e"),
        ("/x?url=https%3a%2F%2fme%3as3cret%40a.example%2Fb", "/x?url=https%3a%2F%2fa.example%2Fb"),
        ("/x?https://s3cret@a.example", "/x?https://a.example"),
    ],
)
def test_target_without_user(target: str, expected: str) -> None:
    """Who a person is, and their password, are in no log, wherever an address stands."""
    assert expected == target_without_user(target)


@pytest.mark.parametrize(
    "target",
    [
        "/pypi/simple/demo/", "/deb.example:8080/debian/a", "/pypi/git/demo@v1:2/a.zip", "/x?a=b&c", "/x?", "/",
        "/pypi/~files/git.example:3000/me/demo@1.0.tar.gz", "/x?a=b@c", "/pypi/~files/deb.example/@scope/a",
    ],
)  # fmt: skip
def test_target_without_user__none(target: str) -> None:
    """Anything else is logged as it is."""
    assert target == target_without_user(target)


def test_target_without_user__long() -> None:
    """It takes no longer for what somebody made up to keep a pattern busy."""
    assert "/" == target_without_user("/" + ":" * 8000 + "@" * 80)
