"""`proxy.python.addresses`."""

from __future__ import annotations

from urllib.parse import urljoin

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
        ("/pypi/+files/files.example/a/b.whl", Target("pypi", "files.example", "a/b.whl")),
        ("/pypi/%2Bfiles/FILES.example/a/b.whl", Target("pypi", "files.example", "a/b.whl")),
        ("/pypi/+files/files.example%3A8443/b.whl", Target("pypi", "files.example:8443", "b.whl")),
        ("/pypi/+files/files.example:443/b.whl", Target("pypi", "files.example", "b.whl")),
        ("/pypi/+files/[0:0::1]:8080/b.whl", Target("pypi", "[::1]:8080", "b.whl")),
        ("/pypi/+files/%5B::1%5D/b.whl", Target("pypi", "[::1]", "b.whl")),
        ("/pypi/+files/files.example/folder/", Target("pypi", "files.example", "folder/")),
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
        "/pypi/simple//torch/",
        "//pypi/simple/",
        "/pypi//",
        "/pypi/./simple/",
        "/pypi/simple/../secret",
        "/pypi/simple/..",
        "/pypi/%2e%2e/secret",
        "/pypi/a%2Fb",
        "/pypi/a%2fb",
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
        "/pypi/+files",
        "/pypi/+files/",
        "/pypi/+files/files.example",
        "/pypi/+files//b.whl",
        "/pypi/+files/user@files.example/b.whl",
        "/pypi/+files/files.example:0/b.whl",
        "/pypi/+files/files.example:65536/b.whl",
        "/pypi/+files/files.example:x/b.whl",
        "/pypi/+files/files..example/b.whl",
        "/pypi/+files/files.example./b.whl",
        "/pypi/+files/[::1/b.whl",
        "/pypi/+files/[:::1]/b.whl",
        "/pypi/+files/[fe80::1%25eth0]/b.whl",
        "/pypi/+files/" + "a." * 127 + "a/b.whl",
        "/pypi/+files/files.example/a//b.whl",
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


@pytest.mark.parametrize("path", ["/", "/other/simple/", "/pypi", "/%2Bfiles/x/y"])
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
        (Target("pypi", "files.example:8080", "a b~c.whl"), "/pypi/+files/files.example:8080/a%20b~c.whl"),
        (Target("pypi", "[::1]:8080", "x?y#z%2F"), "/pypi/+files/%5B::1%5D:8080/x%3Fy%23z%252F"),
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
            "https://index.example/base/+files/files.example/a.whl",
            Target("pypi", "index.example", "base/+files/files.example/a.whl"),
        ),
        ("https://index.example/base/%2Bfiles", Target("pypi", "index.example", "base/+files")),
        ("https://index.example/base/a/+files/a.whl", Target("pypi", None, "a/+files/a.whl")),
        ("https://files.example:65535/a.whl", Target("pypi", "files.example:65535", "a.whl")),
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
        "https://files.example/a//b.whl",
        "https://files.example/../b.whl",
        "https://files.example/a%2Fb.whl",
        "https://files.example/a\\b.whl",
        "https://files.example\\@other.example/b.whl",
        "https://[::1/b.whl",
        "https://files.example:99999/b.whl",
        "https://files.example:x/b.whl",
        "http://files.example:443/b.whl",
        "https://bücher.example/b.whl",
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
            "../../+files/files.example:8443/p/x.whl",
        ),
    ],
)
def test_relative__link(page: Target, to: Target, link: str) -> None:
    """The shortest way from the page's folder, and a bare name where the file lies beside the page."""
    assert link == addresses.relative(page, to)


def test_relative__colon_first() -> None:
    """No link begins with what could be read as a scheme."""
    page, to = Target("a:b", None, ""), Target("pypi", "files.example:1", "x")
    assert to == addresses.parse(
        urljoin("http://cache.example/" + addresses.format_path(page)[1:], addresses.relative(page, to))[20:], MOUNTS
    )
    assert ":" not in addresses.relative(to, Target("pypi", "files.example:1", "c:d")).partition("/")[0]


@pytest.mark.parametrize(
    ("filename", "project"),
    [
        ("Torch-2.0.0+cpu-cp311-cp311-linux_x86_64.whl", "torch"),
        ("nvidia_cublas_cu12-12.1-py3-none-any.whl.metadata", "nvidia-cublas-cu12"),
        ("numpy-1.26.0.tar.gz", "numpy"),
        ("zope.interface-5.0.zip", "zope-interface"),
        ("python-dateutil-2.8.2.tar.gz.asc", "python-dateutil"),
        ("foo-1.0-1.tar.gz", "foo"),
        ("foo-2-bar-1.0.tar.bz2", "foo-2-bar"),
        ("foo-bar-1.0-weird.tar.gz", "foo-bar"),
        ("pytz-2010h.tar.gz", "pytz"),
        ("numpy-1.0.win32-py2.5.exe", "numpy"),
        ("setuptools-0.6c9-py2.4.egg", "setuptools"),
        ("torch-2.0-variants.json", "torch"),
        ("torch-2.0-py3-none-any.whl.metadata.json", "torch"),
        ("torch-2.0-py3-none-any.whl.provenance", "torch"),
        ("index.html", None),
        ("README", None),
        (".tar.gz", None),
        ("-1.0.tar.gz", None),
        ("x.whl", None),
        ("", None),
    ],
)
def test_project_of__filename(filename: str, project: str | None) -> None:
    """The project of a distribution and of what lies beside one."""
    assert project == addresses.project_of(filename)


def test_normalize__name() -> None:
    """Runs of dashes, dots and underscores are one dash, and letters are small (PEP 503)."""
    assert addresses.normalize("Foo._-Bar") == "foo-bar"
