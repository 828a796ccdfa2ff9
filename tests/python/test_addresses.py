"""`proxy.python.addresses`."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest

from proxy.errors import BadTarget, NotFound
from proxy.model import Site, Target
from proxy.python import addresses

MOUNTS = frozenset({"pypi", "whl"})
SITE = Site("pypi", "https://index.example/base/", "simple/", 600.0)
ROOT = Site("whl", "http://127.0.0.1:8080/", "", 600.0)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/pypi/", Target("pypi", None, "")),
        ("/pypi/simple/torch/", Target("pypi", None, "simple/torch/")),
        ("/whl/torch-2.0%2Bcpu.whl", Target("whl", None, "torch-2.0+cpu.whl")),
        ("/whl/torch-2.0+cpu.whl", Target("whl", None, "torch-2.0+cpu.whl")),
        ("/whl/a%252Fb", Target("whl", None, "a%2Fb")),
        ("/whl/caf%C3%A9", Target("whl", None, "café")),
        ("/whl/café", Target("whl", None, "café")),
        ("/pypi/~files/files.example/a/b.whl", Target("pypi", "files.example", "a/b.whl")),
        ("/pypi/%7Efiles/FILES.example/a/b.whl", Target("pypi", "files.example", "a/b.whl")),
        ("/pypi/~files/files.example%3A8443/b.whl", Target("pypi", "files.example:8443", "b.whl")),
        ("/pypi/~files/files.example:443/b.whl", Target("pypi", "files.example", "b.whl")),
        ("/pypi/~files/[0:0::1]:8080/b.whl", Target("pypi", "[::1]:8080", "b.whl")),
        ("/pypi/~files/%5B::1%5D/b.whl", Target("pypi", "[::1]", "b.whl")),
        # An encoded slash parts no segments
        ("/pypi/a%2Fb", Target("pypi", None, "a\\b")),
        ("/pypi/a%2fb/", Target("pypi", None, "a\\b/")),
        ("/pypi/a%252Fb", Target("pypi", None, "a%2Fb")),
        # Empty segments are what they are upstream
        ("/pypi/simple//torch/", Target("pypi", None, "simple/+empty/torch/")),
        ("/pypi//", Target("pypi", None, "+empty/")),
        ("/pypi/simple/+empty/torch/", Target("pypi", None, "simple/+empty/torch/")),
        ("/pypi/~files/files.example/a//b.whl", Target("pypi", "files.example", "a/+empty/b.whl")),
        ("/pypi/~files/files.example//b.whl", Target("pypi", "files.example", "+empty/b.whl")),
        # Marks, with their plus sign as pip writes it; those that say nothing go
        ("/pypi/get/%2Bname/x.whl", Target("pypi", None, "get/+name/x.whl")),
        ("/pypi/a.whl/+name/a.whl", Target("pypi", None, "a.whl")),
        ("/pypi/a/+file/b", Target("pypi", None, "a/+file/b")),
        ("/pypi/a/+file/b.whl", Target("pypi", None, "a/b.whl")),
        ("/pypi/~files/files.example/a/+file/b", Target("pypi", "files.example", "a/b")),
        ("/pypi/+of/acme/1.0.zip", Target("pypi", None, "+of/acme/1.0.zip")),
        ("/pypi/+of/acme/Acme-1.0.zip", Target("pypi", None, "Acme-1.0.zip")),
        ("/pypi/~files/files.example/folder/", Target("pypi", "files.example", "folder/")),
        ("/%70ypi/simple/", Target("pypi", None, "simple/")),
    ],
)
def test_parse__well_formed(path: str, target: Target) -> None:
    """A path is decoded once into a target."""
    assert target == addresses.parse(path, MOUNTS)


@pytest.mark.parametrize(
    "path",
    [
        "pypi/simple/",
        "",
        "//pypi/simple/",
        "/pypi/./simple/",
        "/pypi/simple/../secret",
        "/pypi/simple/..",
        "/pypi/%2e%2e/secret",
        "/pypi/a%2F..%2Fb",
        "/pypi/..%2Fb",
        "/pypi/a%2F.",
        "/pypi/a%5Cb",
        "/pypi/a\\b",
        "/pypi/a%00b",
        "/pypi/a%0d%0ab",
        "/pypi/a%7Fb",
        "/pypi/a%C2%85b",
        "/pypi/%FF",
        "/pypi/%C0%AF",
        "/pypi/\udcff",
        "/pypi/50%",
        "/pypi/%zz",
        "/pypi/simple/?x",
        "/pypi/simple/#x",
        "/pypi/" + "a" * 256,
        "/pypi/" + "%C3%A9" * 128,
        "/pypi/" + "aaaaaaa/" * 513,
        "/pypi/~files",
        "/pypi/~files/",
        "/pypi/~files/files.example",
        "/pypi/~files//b.whl",
        "/pypi/~files/user@files.example/b.whl",
        "/pypi/~files/files.example:0/b.whl",
        "/pypi/~files/files.example:65536/b.whl",
        "/pypi/~files/files.example:x/b.whl",
        "/pypi/~files/files..example/b.whl",
        "/pypi/~files/files.example./b.whl",
        "/pypi/~files/[::1/b.whl",
        "/pypi/~files/[:::1]/b.whl",
        "/pypi/~files/[fe80::1%25eth0]/b.whl",
        "/pypi/~files/" + "a." * 127 + "a/b.whl",
    ],
)
def test_parse__malformed(path: str) -> None:
    """What is not one plain address is refused, and the refusal repeats nothing of it."""
    with pytest.raises((BadTarget, NotFound)) as caught:
        addresses.parse(path, MOUNTS)
    if not path.startswith(("//", "pypi")):
        assert caught.type is BadTarget
    assert "example" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/", "/other/simple/", "/pypi", "/%7Efiles/x/y"])
def test_parse__no_such_mount(path: str) -> None:
    """A mount that the settings do not have is not found, and neither is one without its slash."""
    with pytest.raises(NotFound) as caught:
        addresses.parse(path, MOUNTS)
    assert "other" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target("pypi", None, ""), "/pypi/"),
        (Target("whl", None, "cu126/torch-2.0+cu126.whl"), "/whl/cu126/torch-2.0%2Bcu126.whl"),
        (Target("pypi", "files.example:8080", "a b~c.whl"), "/pypi/~files/files.example:8080/a%20b~c.whl"),
        (Target("pypi", "[::1]:8080", "x?y#z%2F"), "/pypi/~files/%5B::1%5D:8080/x%3Fy%23z%252F"),
        (Target("pypi", None, "a\\b/+empty/c"), "/pypi/a%2Fb/%2Bempty/c"),
    ],
)
def test_format_path__encoding(target: Target, path: str) -> None:
    """Only unreserved characters stay, and the marker is written with its plus sign."""
    assert path == addresses.format_path(target)


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
    assert url == addresses.upstream_url(target, SITE)


def test_upstream_url__scheme_given() -> None:
    """A file on another host can be asked for without TLS."""
    target = Target("pypi", "127.0.0.1:8080", "b.whl")
    assert addresses.upstream_url(target, SITE, "http") == "http://127.0.0.1:8080/b.whl"


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
    assert target == addresses.locate(url, SITE)


def test_locate__base_on_a_port() -> None:
    """A base with a port, at the root of its host, has everything below it."""
    assert Target("whl", None, "torch/x.whl") == addresses.locate("http://127.0.0.1:8080/torch/x.whl", ROOT)
    assert Target("whl", "127.0.0.1:8081", "x.whl") == addresses.locate("http://127.0.0.1:8081/x.whl", ROOT)


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
        addresses.locate(url, SITE)


@pytest.mark.parametrize(
    ("page", "to", "link"),
    [
        (Target("whl", None, "torch/"), Target("whl", None, "torch/torch-2.whl"), "torch-2.whl"),
        (Target("whl", None, "torch/"), Target("whl", None, "torch-2+cpu.whl"), "../torch-2%2Bcpu.whl"),
        (Target("whl", None, "torch/"), Target("whl", None, "torch/"), "./"),
        (Target("whl", None, "a/b/"), Target("whl", None, "a/"), "../"),
        (Target("whl", None, "torch/"), Target("whl", None, "torchvision/x.whl"), "../torchvision/x.whl"),
        (Target("whl", None, "flat.html"), Target("whl", None, "cpu/x.whl"), "cpu/x.whl"),
        (Target("whl", None, "torch/"), Target("whl", None, "torch/c:d"), "c%3Ad"),
        (Target("whl", None, "torch/"), Target("pypi", None, "x"), "../../pypi/x"),
        (
            Target("pypi", None, "simple/x/"),
            Target("pypi", "files.example:8443", "p/x.whl"),
            "../../~files/files.example:8443/p/x.whl",
        ),
    ],
)
def test_relative__link(page: Target, to: Target, link: str) -> None:
    """The shortest way from the page's folder, and a bare name where the file lies beside the page."""
    assert link == addresses.relative(page, to)


@pytest.mark.parametrize("marker", ["~files", "+files", "%2Bfiles", "~filesystem"])
def test_links__of_a_cache_upstream(marker: str) -> None:
    """Its marker below the base is not read as one of this cache, the quick way or the long way."""
    page = Target("pypi", None, "simple/demo/")
    url = f"https://index.example/base/{marker}/files.example/demo-1.0.tar.gz"
    target = addresses.locate_file(url, SITE, "demo-1.0.tar.gz")
    link = addresses.Links(page, SITE).to(url, "demo-1.0.tar.gz")
    assert addresses.relative(page, target) == link
    assert target == addresses.parse(urlsplit(urljoin("http://cache.example/pypi/simple/demo/", link)).path, MOUNTS)
    assert (None if marker == "~filesystem" else "index.example") == target.host


def test_relative__colon_first() -> None:
    """No link begins with what could be read as a scheme."""
    page, to = Target("a:b", None, ""), Target("pypi", "files.example:1", "x")
    assert to == addresses.parse(
        urljoin("http://cache.example/" + addresses.format_path(page)[1:], addresses.relative(page, to))[20:], MOUNTS
    )
    assert ":" not in addresses.relative(to, Target("pypi", "files.example:1", "c:d")).partition("/")[0]


def test_normalize__name() -> None:
    """Runs of dashes, dots and underscores are one dash, and letters are small (PEP 503)."""
    assert addresses.normalize("Foo._-Bar") == "foo-bar"
