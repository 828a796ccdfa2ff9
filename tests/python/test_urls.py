"""Addresses upstream, and their targets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BadTarget
from proxy.model import Site, Target
from proxy.python import urls

SITE = Site("pypi", "https://index.example/base/", "simple/", 600.0)
ROOT = Site("whl", "http://127.0.0.1:8080/", "", 600.0)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://files.example/a/b.whl", ("https", "files.example", "a/b.whl")),
        ("https://files.example:443/a", ("https", "files.example", "a")),
        ("https://files.example:80/a", ("https", "files.example:80", "a")),
        ("http://files.example/a", ("http", "files.example:80", "a")),
        ("http://files.example:80/a", ("http", "files.example:80", "a")),
        ("http://files.example:443/a", ("http", "files.example:443", "a")),
        ("http://files.example:443/%C3%A9", ("http", "files.example:443", "\u00e9")),
        ("https://FILES.example.:443/%C3%A9", ("https", "files.example", "\u00e9")),
        ("https://files.example/a+b%2Bc?d#e", ("https", "files.example", "a+b+c")),
        ("https://files.example/a//b%2Fc", ("https", "files.example", "a//b\\c")),
        ("https://files.example", ("https", "files.example", "")),
    ],
)
def test_dissect__parts(url: str, parts: tuple[str, str, str]) -> None:
    """Scheme, host with any unusual port, path decoded once."""
    assert parts == urls.dissect(url)


@pytest.mark.parametrize(
    "url", ["https://files.example:0/a", "https://files.example:65536/a", "https:///a", "https://a/../b"]
)
def test_dissect__refused(url: str) -> None:
    """What nobody could ask for."""
    with pytest.raises(BadTarget):
        urls.dissect(url)


hosts = st.sampled_from(["files.example", "files.example:8443", "files.example:80", "[::1]:81", "files.example:443"])
characters = st.characters(exclude_categories=["Cc", "Cs"])
paths = st.lists(st.text(characters, max_size=5).filter(lambda part: part not in (".", "..")), max_size=5).map("/".join)


@settings(deadline=None)
@given(st.sampled_from(["http", "https"]), hosts, paths, st.sampled_from(["", "a=1", "a=%2F+b&c"]))
def test_absolute__inverse_of_dissect(scheme: str, host: str, path: str, query: str) -> None:
    """What is put together comes apart as it was, whatever is in the path."""
    if {".", ".."} & set(path.replace("\\", "/").split("/")):
        return
    url = urls.absolute(scheme, host, path, query)
    assert url.isascii()
    found = host if (scheme, host) != ("https", "files.example:443") else "files.example"
    if scheme == "http" and ":" not in host.rpartition("]")[2]:
        found = f"{host}:80"
    assert (scheme, found, path) == urls.dissect(url)


@settings(deadline=None)
@given(st.text(st.sampled_from("htps:/.%+2F@[]\\?#\u00e9 a0148"), max_size=40))
def test_plainly__as_the_long_way(text: str) -> None:
    """The quick way gives what the long way gives, for what it takes at all."""
    for url in (f"https://{text}", f"http://files.example{text}"):
        quick = urls.plainly(url)
        if quick is not None:
            assert quick == urls.dissect(url.replace("http", "HTTP", 1))


# On the cache


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (Target("pypi", None, "simple/x/"), "https://index.example/base/simple/x/"),
        (Target("pypi", None, "a+b.whl"), "https://index.example/base/a%2Bb.whl"),
        (Target("pypi", "files.example", "a+b.whl"), "https://files.example/a%2Bb.whl"),
        (Target("pypi", "files.example:80", "b.whl"), "http://files.example/b.whl"),
        (Target("pypi", "files.example:8443", "b.whl"), "https://files.example:8443/b.whl"),
        (Target("pypi", None, "a\\b/c"), "https://index.example/base/a%2Fb/c"),
        (Target("pypi", None, "+empty/a/+empty/"), "https://index.example/base//a//"),
        (Target("pypi", None, "a/+file/b"), "https://index.example/base/a/b"),
        (Target("pypi", None, "a/+of/acme/1.0.zip"), "https://index.example/base/a/1.0.zip"),
        (Target("pypi", None, "get/+name/x.whl"), "https://index.example/base/get"),
        (Target("pypi", "files.example", "++name/x.whl"), "https://files.example/%2Bname/x.whl"),
    ],
)
def test_upstream_url__encoding(target: Target, url: str) -> None:
    """Below the base or on another host, always with a plus sign as %2B."""
    assert url == urls.upstream_url(target, SITE)


def test_upstream_url__scheme_given() -> None:
    """A file on another host can be asked for without TLS."""
    target = Target("pypi", "127.0.0.1:8080", "b.whl")
    assert urls.upstream_url(target, SITE, "http") == "http://127.0.0.1:8080/b.whl"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://index.example/base/simple/x/", Target("pypi", None, "simple/x/")),
        ("https://INDEX.example:443/base/a.whl?token=1#sha256=00", Target("pypi", None, "a.whl")),
        ("https://index.example/base/", Target("pypi", None, "")),
        ("https://index.example/base", Target("pypi", "index.example", "base")),
        ("https://index.example/other/a.whl", Target("pypi", "index.example", "other/a.whl")),
        ("https://index.example/basement/a.whl", Target("pypi", "index.example", "basement/a.whl")),
        ("http://index.example/base/a.whl", Target("pypi", "index.example:80", "base/a.whl")),
        ("https://index.example:8443/base/a.whl", Target("pypi", "index.example:8443", "base/a.whl")),
        ("https://files.example/a+b.whl", Target("pypi", "files.example", "a+b.whl")),
        ("https://files.example/a%2Bb.whl", Target("pypi", "files.example", "a+b.whl")),
        ("https://files.example/a%2bb.whl", Target("pypi", "files.example", "a+b.whl")),
        ("https://files.example/a%252Bb.whl", Target("pypi", "files.example", "a%2Bb.whl")),
        ("https://user:pass@files.example/a.whl", Target("pypi", "files.example", "a.whl")),
        ("https://[::1]:8080/a.whl", Target("pypi", "[::1]:8080", "a.whl")),
        ("https://files.example", Target("pypi", "files.example", "")),
        (
            "https://index.example/base/~files/files.example/a.whl",
            Target("pypi", "index.example", "base/~files/files.example/a.whl"),
        ),
        ("https://index.example/base/%7Efiles", Target("pypi", "index.example", "base/~files")),
        (
            "https://index.example/base/%2Bfiles/files.example/a.whl",
            Target("pypi", "index.example", "base/+files/files.example/a.whl"),
        ),
        ("https://index.example/base/a/~files/a.whl", Target("pypi", None, "a/~files/a.whl")),
        ("https://files.example:65535/a.whl", Target("pypi", "files.example:65535", "a.whl")),
        ("https://files.example/a//b.whl", Target("pypi", "files.example", "a/+empty/b.whl")),
        ("https://index.example/base//b.whl", Target("pypi", None, "+empty/b.whl")),
        ("https://files.example/a%2Fb.whl", Target("pypi", "files.example", "a\\b.whl")),
        ("https://files.example/50%.whl", Target("pypi", "files.example", "50%.whl")),
        ("https://B\u00fccher.example/b.whl", Target("pypi", "xn--bcher-kva.example", "b.whl")),
        ("https://files.example./b.whl", Target("pypi", "files.example", "b.whl")),
        ("https://files.example/+name/x", Target("pypi", "files.example", "++name/x")),
        ("https://index.example/base/++empty", Target("pypi", None, "+++empty")),
    ],
)
def test_locate__address(url: str, target: Target) -> None:
    """An address below the base keeps its path; every other one keeps its host."""
    assert target == urls.locate(url, SITE)


def test_locate__base_on_a_port() -> None:
    """A base with a port, at the root of its host, has everything below it."""
    assert Target("whl", None, "torch/x.whl") == urls.locate("http://127.0.0.1:8080/torch/x.whl", ROOT)
    assert Target("whl", "127.0.0.1:8081", "x.whl") == urls.locate("http://127.0.0.1:8081/x.whl", ROOT)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://files.example/a.whl",
        "javascript:alert(1)",
        "mailto:somebody@files.example",
        "/a.whl",
        "https:///a.whl",
        "https://files.example/../b.whl",
        "https://files.example/a/%2e%2e/b.whl",
        "https://files.example/a%2F..%2Fb.whl",
        "https://files.example/a\\b.whl",
        "https://files.example\\@other.example/b.whl",
        "https://[::1/b.whl",
        "https://files.example:99999/b.whl",
        "https://files.example:x/b.whl",
        "http://files.example:443/b.whl",
        "https://b\u2024\u2024cher.example/b.whl",
        "https://files.example/" + "a" * 256,
        "https://files.example/%FF",
    ],
)
def test_locate__refused(url: str) -> None:
    """What cannot be asked for here has no target."""
    with pytest.raises(BadTarget):
        urls.locate(url, SITE)
