"""The forms of request targets."""

from __future__ import annotations

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.errors import BadTarget, NotAllowed
from proxy.web.request_target import ArchiveTarget, OwnTarget, archive_addresses, logged_unread, parse

US = ("127.0.0.1", 3142)
MOUNTS = {"pypi"}
DEB = ArchiveTarget(ArchiveAddress("http", "deb.example", "debian/a.deb"))


def _proxied(scheme: str, host: str, path: str) -> ArchiveTarget:
    return ArchiveTarget(ArchiveAddress(scheme, host, path), proxied=True)


PROXIED_DEB = _proxied("http", "deb.example", "debian/a.deb")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/pypi/", OwnTarget("/pypi/", "")),
        ("/pypi/?format=x", OwnTarget("/pypi/", "format=x")),
        ("/pypi/?a?b", OwnTarget("/pypi/", "a?b")),
        ("http://any.example:3142/pypi/?q", OwnTarget("/pypi/", "q")),
        ("http://any.example:3142", OwnTarget("/", "")),
        ("HTTP://any.example:3142/%2e", OwnTarget("/%2e", "")),
        ("/deb.example/debian/a.deb", DEB),
        ("http://any.example:3142/deb.example/debian/a.deb", DEB),
        ("http://deb.example/debian/a.deb", PROXIED_DEB),
        ("http://deb.example:80/debian/a.deb", PROXIED_DEB),
        ("http://u:p@deb.example/debian/a.deb", PROXIED_DEB),
        ("http://HTTPS///deb.example/a", _proxied("https", "deb.example", "a")),
        ("http://https///deb.example/a", _proxied("https", "deb.example", "a")),
        ("/https/deb.example/a", OwnTarget("/https/deb.example/a", "")),
        ("/HTTPS///deb.example/a", ArchiveTarget(ArchiveAddress("https", "deb.example", "a"))),
        ("http://any.example:3142/HTTPS///deb.example/a", ArchiveTarget(ArchiveAddress("https", "deb.example", "a"))),
        ("http://deb.example", _proxied("http", "deb.example", "")),
    ],
)
def test_parse(target: str, expected: OwnTarget | ArchiveTarget) -> None:
    """Own paths and archives are distinguished in every form; own paths stay undecoded."""
    assert expected == parse(target, US, MOUNTS)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://127.0.0.1/anything", OwnTarget("/anything", "")),
        ("http://cache.example/pypi/simple/", OwnTarget("/pypi/simple/", "")),
        ("http://127.0.0.1/deb.example/debian/a.deb", DEB),
        ("http://deb.example/debian/a.deb", PROXIED_DEB),
        ("http://deb.example/4.x/a.deb", _proxied("http", "deb.example", "4.x/a.deb")),
        ("http://deb.example/core:/a.deb", _proxied("http", "deb.example", "core:/a.deb")),
        ("http://HTTPS///deb.example/a", _proxied("https", "deb.example", "a")),
        ("http://HTTPS///deb.example/4.x/a", _proxied("https", "deb.example", "4.x/a")),
        ("http://https///deb.example/4.x/a", _proxied("https", "deb.example", "4.x/a")),
    ],
)
def test_parse__cache_at_port_80(target: str, expected: OwnTarget | ArchiveTarget) -> None:
    """Where the port does not distinguish the cache from an archive, its address does, or the name of a mount."""
    assert expected == parse(target, ("127.0.0.1", 80), MOUNTS)


@pytest.mark.parametrize("target", ["http://[::ffff:127.0.0.1]/a", "http://cache.example/a", "http://CACHE.example./a"])
def test_parse__what_else_the_cache_is_called(target: str) -> None:
    """Names of the settings, other addresses where it listens, and both forms of one of IPv4 mean the cache."""
    assert OwnTarget("/a", "") == parse(target, ("127.0.0.1", 80), MOUNTS, {"cache.example"})
    assert DEB == parse(f"{target[:-1]}deb.example/debian/a.deb", ("127.0.0.1", 80), MOUNTS, {"cache.example"})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://cache.example:8080/pypi/simple/", OwnTarget("/pypi/simple/", "")),
        ("http://cache.example/pypi/simple/?x", OwnTarget("/pypi/simple/", "x")),
        (
            "http://cache.example:8080/debian/a.deb",
            _proxied("http", "cache.example:8080", "debian/a.deb"),
        ),
        ("http://deb.example/pypi/a.deb", _proxied("http", "deb.example", "pypi/a.deb")),
    ],
)
def test_parse__published_port(target: str, expected: OwnTarget | ArchiveTarget) -> None:
    """Where another port is published for the cache, its name and the path tell that the cache is meant."""
    assert expected == parse(target, ("172.17.0.2", 3142), MOUNTS, {"cache.example"})


def test_parse__unix_socket() -> None:
    """Without an address of its own, the cache answers for archives in proxy form only."""
    assert PROXIED_DEB == parse("http://deb.example/debian/a.deb", None, MOUNTS)


@pytest.mark.parametrize("target", ["https://any.example:3142/", "https://deb.example/a", "ftp://deb.example/a"])
def test_parse__other_schemes(target: str) -> None:
    """Proxy form is http; the message says how to name an https archive."""
    with pytest.raises(NotAllowed, match="HTTPS"):
        parse(target, US, MOUNTS)


@pytest.mark.parametrize(
    "target",
    ["/a#b", "*", "a/b", "http:///a", "http:a", "http://a:b/", "/deb.example/a?b", "http://u:p@/a.deb"],
)
def test_parse__malformed(target: str) -> None:
    """A target in no known form is refused."""
    with pytest.raises(BadTarget):
        parse(target, US, MOUNTS)


def test_logged() -> None:
    """The log has own addresses as they were sent, and archives in prefix form."""
    assert "/pypi/?q" == OwnTarget("/pypi/", "q").logged
    assert "/deb.example/debian/a.deb" == DEB.logged == PROXIED_DEB.logged


@pytest.mark.parametrize(
    ("raw", "logged"),
    [
        ("/HTTPS///me:s3cret@deb.example/a", "/HTTPS///deb.example/a"),
        ("/pypi/?q", "/pypi/?q"),
        ("http://me:s3cret@deb.example/a", "-"),
        ("http://me:s3c/ret@deb.example/a", "-"),
        ("me:s3cret@deb.example:443", "-"),
    ],
)
def test_logged_unread(raw: str, logged: str) -> None:
    """What cannot be read may have a password in an odd place: only a path is logged, and without it."""
    assert logged == logged_unread(raw)


def test_logged__without_a_password() -> None:
    """An index has none of its own in an address, but somebody may have written one there."""
    assert "/pypi/~files/files.example/a" == OwnTarget("/pypi/~files/me:s3cret@files.example/a", "").logged
    assert (
        "/api/v1/explain?url=https://a.example/" == OwnTarget("/api/v1/explain", "url=https://me:x@a.example/").logged
    )


def test_archive_addresses() -> None:
    """Of pipelined requests, those for archives are read; malformed ones are skipped."""
    targets = [
        "/pypi/",
        "/deb.example/debian/a.deb",
        "/deb.example/../a",
        "https://a/b",
        "http://deb.example/debian/a.deb",
    ]

    assert [DEB.address, DEB.address] == list(archive_addresses(targets, US, MOUNTS))
