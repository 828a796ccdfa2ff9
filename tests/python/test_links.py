"""`proxy.python.links`."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BadTarget
from proxy.model import Site, Target
from proxy.python import addresses, urls
from proxy.python.links import Base, PageLinks, Redactor, redacted

SITE = Site("pypi", "https://index.example/base/", "simple/", 600.0)

PAGE = "https://index.example/whl/cu126/torch/"


@pytest.mark.parametrize(
    ("href", "url", "name"),
    [
        ("x.whl", "https://index.example/whl/cu126/torch/x.whl", "x.whl"),
        ("x+cpu.whl", "https://index.example/whl/cu126/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("x%2Bcpu.whl", "https://index.example/whl/cu126/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("x%2bcpu.whl", "https://index.example/whl/cu126/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("./x.whl", "https://index.example/whl/cu126/torch/x.whl", "x.whl"),
        ("../x.whl", "https://index.example/whl/cu126/x.whl", "x.whl"),
        ("../../../../x.whl", "https://index.example/x.whl", "x.whl"),
        ("0.1/x.tar.gz", "https://index.example/whl/cu126/torch/0.1/x.tar.gz", "x.tar.gz"),
        ("/whl/x.whl", "https://index.example/whl/x.whl", "x.whl"),
        ("/whl/a/../x.whl", "https://index.example/whl/x.whl", "x.whl"),
        ("//files.example/x.whl", "https://files.example/x.whl", "x.whl"),
        ("https://files.example/a/x.whl", "https://files.example/a/x.whl", "x.whl"),
        ("https://files.example/a/../x.whl", "https://files.example/x.whl", "x.whl"),
        ("HTTP://Files.Example:80/x.whl", "http://files.example/x.whl", "x.whl"),
        ("https://files.example:8443/x.whl", "https://files.example:8443/x.whl", "x.whl"),
        ("https://files.example/x.whl?sig=a%2Fb&t=1", "https://files.example/x.whl?sig=a%2Fb&t=1", "x.whl"),
        ("x.whl?sig=a b", "https://index.example/whl/cu126/torch/x.whl?sig=a%20b", "x.whl"),
        ("x y.whl", "https://index.example/whl/cu126/torch/x%20y.whl", "x y.whl"),
        ("../torchvision/", "https://index.example/whl/cu126/torchvision/", ""),
        ("https://files.example/a//b.whl", "https://files.example/a//b.whl", "b.whl"),
        ("/a//b.whl", "https://index.example/a//b.whl", "b.whl"),
        ("..//b.whl", "https://index.example/whl/cu126//b.whl", "b.whl"),
        ("x//b.whl", "https://index.example/whl/cu126/torch/x//b.whl", "b.whl"),
        ("/a//../b.whl", "https://index.example/a/b.whl", "b.whl"),
        ("a%2Fb", "https://index.example/whl/cu126/torch/a%2Fb", "b"),
        ("a%2fb/c.whl", "https://index.example/whl/cu126/torch/a%2Fb/c.whl", "c.whl"),
        ("50%.whl", "https://index.example/whl/cu126/torch/50%25.whl", "50%.whl"),
        ("https://b\u00fccher.example/x.whl", "https://xn--bcher-kva.example/x.whl", "x.whl"),
        ("https://me:secret@files.example/x.whl", "https://files.example/x.whl", "x.whl"),
        ("http://[2001:DB8::0:1]:8080/x.whl", "http://[2001:db8::1]:8080/x.whl", "x.whl"),
        ("http://files.example:443/x.whl", "http://files.example:443/x.whl", "x.whl"),
        ("https:x.whl", "https://index.example/whl/cu126/torch/x.whl", "x.whl"),
        ("?id=1", "https://index.example/whl/cu126/torch/?id=1", ""),
    ],
)
def test_resolve__forms(href: str, url: str, name: str) -> None:
    """Every form of a link leads to one absolute address."""
    assert (url, name) == Base.of(PAGE).resolve(href)


@pytest.mark.parametrize(
    "href",
    [
        "mailto:a@files.example",
        "javascript:alert(1)",
        "ftp://files.example/x",
        "git+https://git.example/x@1",
        "//[::1/x",
        "a%2F..%2Fb",
        "%2e%2e/x",
        "a%5Cb",
        "%FF",
    ],
)
def test_resolve__refused(href: str) -> None:
    """What cannot be fetched leads nowhere."""
    with pytest.raises(BadTarget):
        Base.of(PAGE).resolve(href)


@pytest.mark.parametrize(
    ("href", "url", "name"),
    [
        ("git+https://git.example/acme/x@1.0", "git+https://git.example/acme/x@1.0", "x@1.0"),
        ("git+https://me:token@git.example/x.git/", "git+https://git.example/x.git/", "x.git"),
        ("git+https://token@git.example/x", "git+https://git.example/x", "x"),
        ("git+ssh://git@git.example/x", "git+ssh://git@git.example/x", "x"),
        ("git+ssh://git:pass@git.example/x", "git+ssh://git@git.example/x", "x"),
        ("hg+http://hg.example/x#egg=x", "hg+http://hg.example/x", "x"),
        ("svn+svn://svn.example/x", "svn+svn://svn.example/x", "x"),
        ("bzr+lp://bzr.example/x", "bzr+lp://bzr.example/x", "x"),
        ("FTP://files.example/x y.tar.gz", "ftp://files.example/x%20y.tar.gz", "x y.tar.gz"),
        ("https://me:secret@files.example/%FF/x.whl", "https://files.example/%FF/x.whl", "x.whl"),
        ("http://files.example:443/x.whl?a=1&b='", "http://files.example:443/x.whl?a=1&b=%27", "x.whl"),
        ('%2e%2e/"<x>.whl', "https://index.example/whl/cu126/torch/%2e%2e/%22%3Cx%3E.whl", '"<x>.whl'),
        ("a%5Cb.whl", "https://index.example/whl/cu126/torch/a%5Cb.whl", "a\\b.whl"),
    ],
)
def test_follow__passed_on(href: str, url: str, name: str) -> None:
    """What only an installer can follow stays as it is, without a password, and can stand in an attribute."""
    assert (url, name) == Base.of(PAGE).follow(href)


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "javascript://x.example/%0aalert(1)",
        "data:text/html,x",
        "mailto:a@files.example",
        "file:///etc/passwd",
        "git+file:///srv/x",
        "git+javascript://x/y",
        "vbscript:x",
        "git+https:x",
        "//[::1/x",
        "https://a\\@b.example/x",
    ],
)
def test_follow__refused(href: str) -> None:
    """What no installer fetches, or fetches from its own disk, leads nowhere."""
    with pytest.raises(BadTarget):
        Base.of(PAGE).follow(href)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://files.example/a/", "https://files.example/a/x.whl"),
        ("/a/b", "https://index.example/a/x.whl"),
        ("", "https://index.example/whl/cu126/torch/x.whl"),
        ("ftp://files.example/a/", "https://index.example/whl/cu126/torch/x.whl"),
        ("//[::1", "https://index.example/whl/cu126/torch/x.whl"),
    ],
)
def test_of__base(base: str, url: str) -> None:
    """A base that cannot be used counts for nothing."""
    assert Base.of(PAGE, base).resolve("x.whl")[0] == url


def test_of__flat_page() -> None:
    """Links of a page without a slash at its end are resolved against its folder."""
    assert Base.of("https://index.example/whl/stable.html?x=/y/").resolve("cpu/x.whl")[0] == (
        "https://index.example/whl/cpu/x.whl"
    )


# Links on the cache


@pytest.mark.parametrize("marker", ["~files", "+files", "%2Bfiles", "~filesystem"])
def test_page_links__of_a_cache_upstream(marker: str) -> None:
    """Its marker below the base is not read as one of this cache, the quick way or the long way."""
    page = Target("pypi", None, "simple/demo/")
    url = f"https://index.example/base/{marker}/files.example/demo-1.0.tar.gz"
    target = urls.locate_file(url, SITE, "demo-1.0.tar.gz")
    link = PageLinks(page, SITE).to(url, "demo-1.0.tar.gz")
    assert addresses.relative(page, target) == link
    assert target == addresses.parse(urlsplit(urljoin("http://cache.example/pypi/simple/demo/", link)).path, {"pypi"})
    assert (None if marker == "~filesystem" else "index.example") == target.host


@pytest.mark.parametrize(
    ("url", "stem", "front"),
    [
        ("https://files.example/a/b.zip", "https://files.example/", "../../~files/files.example/"),
        ("http://files.example:8080/b.zip", "http://files.example:8080/", "../../~files/files.example:8080/"),
        ("http://files.example/b.zip", "http://files.example/", "../../~files/files.example:80/"),
        ("http://files.example:443/b.zip", "http://files.example:443/", None),
        ("https://index.example/b.zip", "https://index.example/", "../../~files/index.example/"),
        ("http://index.example/base/b.zip", "http://index.example/", "../../~files/index.example:80/"),
        ("https://index.example/base/a/b.zip", "https://index.example/base/a/", "../../a/"),
        ("https://index.example/base/a/b", "", None),
        ("https://index.example/base/b.zip", "", None),
        ("https://index.example/base/simple/b.zip", "https://index.example/base/simple/", None),
        (
            "https://index.example/base/~files/f.example/b.zip",
            "https://index.example/base/~files/",
            "../../~files/index.example/base/~files/",
        ),
    ],
)
def test_front_for__stems(url: str, stem: str, front: str | None) -> None:
    """The rest of a plain address is the rest of its link, unless the folder that it shares with the page counts."""
    links, name = PageLinks(Target("pypi", None, "simple/demo/"), SITE), url.rpartition("/")[2]
    assert (stem, front, front) == (links.stem(url, name), links.front_for(stem), links.front_for(stem))
    if front is not None:
        assert front + url[len(stem) :] == links.to(url, name)


@pytest.mark.parametrize(
    ("stem", "apart"),
    [
        ("https://files.example/", True),
        ("http://index.example/", True),
        ("https://index.example/", False),
        ("https://index.example/base/", False),
        ("https://index.example/base/a/", False),
        ("", False),
    ],
)
def test_is_apart(stem: str, apart: bool) -> None:
    """What begins as the index does may have a longer stem, or none."""
    assert PageLinks(Target("pypi", None, "simple/demo/"), SITE).is_apart(stem) is apart


# Users

SHOWN = [
    (b'<a href="http://me:secret@index.example/simple/x/">', b'<a href="http://index.example/simple/x/">'),
    (b"<A HREF=HTTPS://token@index.example/>", b"<A HREF=HTTPS://index.example/>"),
    (b"<a href='//me:se@cret@index.example/'>", b"<a href='//index.example/'>"),
    (rb'{"url": "https:\/\/me:secret@index.example\/x"}', rb'{"url": "https:\/\/index.example\/x"}'),
    (b"git+https://me:secret@code.example/x", b"git+https://code.example/x"),
    (b"git+ssh://git@code.example/x", b"git+ssh://git@code.example/x"),
    (b"ftp://me:secret@files.example/x", b"ftp://me@files.example/x"),
    (b"text http://me:secret@index.example?a=//me:secret@b", b"text http://index.example?a=//b"),
    (b'<a href="packages//a@b/">', b'<a href="packages//a@b/">'),
    (b"<a href='mailto:me@index.example'>a@b</a>", b"<a href='mailto:me@index.example'>a@b</a>"),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_redacted(text: bytes, shown: bytes) -> None:
    """No password is left, and a user name only where a repository needs it; all else stays."""
    assert shown == redacted(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from([text for text, _ in SHOWN]), max_size=5), st.lists(st.integers(1, 40), max_size=20))
def test_feed__wherever_it_is_cut(texts: list[bytes], cuts: list[int]) -> None:
    """A text that streams by loses what the whole would."""
    rest = whole = b"\n".join(texts)
    redactor, sent = Redactor(), b""
    for cut in cuts:
        sent += redactor.feed(rest[:cut])
        rest = rest[cut:]
    sent += redactor.feed(rest) + redactor.finish()
    assert redacted(whole) == sent


def test_feed__memory_bounded() -> None:
    """A word that never ends is not held back for ever."""
    redactor, sent = Redactor(), 0
    for number in range(1, 100):
        sent += len(redactor.feed(b"x" * 1000))
        assert number * 1000 - sent <= 2048
