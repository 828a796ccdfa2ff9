"""`proxy.python.addresses`."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BadTarget, NotFound
from proxy.model import Target
from proxy.python import addresses
from proxy.python.addresses import Unmarked, marked, plain, unmarked, without_empties

MOUNTS = frozenset({"pypi", "whl"})


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


# Marks

marked_segments = st.sampled_from(
    ["", "a", "+", "+empty", "++empty", "+of", "+file", "+name", "++name", "a+name", "acme", "1.0"]
)
marked_paths = st.lists(marked_segments, max_size=6).map("/".join)
file_names = st.sampled_from(["x.whl", "+name", "+empty", "a"])
projects = st.none() | st.sampled_from(["acme", "a-b"])


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("a/b.whl", Unmarked("a/b.whl")),
        ("a+b/c+d.whl", Unmarked("a+b/c+d.whl")),
        ("a/+empty/b", Unmarked("a//b")),
        ("a/++empty/b", Unmarked("a/+empty/b")),
        ("a/+file/b", Unmarked("a/b", file=True)),
        ("a/+name/b", Unmarked("a", "b", file=True)),
        ("+name/b", Unmarked("", "b", file=True)),
        ("a/+empty/+name/b", Unmarked("a/", "b", file=True)),
        ("a/+of/acme/1.0.zip", Unmarked("a/1.0.zip", None, "acme", file=True)),
        ("a/+of/acme/+name/1.0.zip", Unmarked("a", "1.0.zip", "acme", file=True)),
        ("a/+name/", Unmarked("a/name/")),
        ("a/+name/b/c", Unmarked("a/name/b/c")),
        ("a/+of/Acme/1.0.zip", Unmarked("a/of/Acme/1.0.zip")),
    ],
)
def test_unmarked(path: str, read: Unmarked) -> None:
    """What a path on the cache says."""
    assert read == unmarked(path)


@settings(deadline=None)
@given(marked_paths, st.none() | file_names, projects, st.booleans())
def test_marked__inverse(path: str, name: str | None, project: str | None, file: bool) -> None:
    """Whatever is said is read back as it was, and no segment but the last is empty."""
    if name is None and not path.rpartition("/")[2]:
        project, file = None, False  # folders have no marks
    shown = marked(path, name=name, project=project, file=file)
    assert unmarked(shown) == Unmarked(path, name, project, file or bool(project) or name is not None)
    assert "" not in shown.split("/")[:-1]


@settings(deadline=None)
@given(marked_paths)
def test_plain__is_as_it_is(path: str) -> None:
    """What is called plain needs no mark, and all others but few do."""
    if plain(path):
        assert path == marked(path)
    if path == marked(path) and "+" not in path:
        assert plain(path) or not path


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/+empty/b", "a/b"), ("+empty/", ""), ("a/++empty/b", "a/++empty/b"), ("a/+empty/+empty/", "a/"), ("a", "a")],
)
def test_without_empties(path: str, expected: str) -> None:
    """Only the marks of empty segments go."""
    assert expected == without_empties(path)


@pytest.mark.parametrize(("path", "name"), [("simple/demo/", "demo"), ("a/demo-1.0.tar.gz", "demo-1.0.tar.gz")])
def test_called(path: str, name: str) -> None:
    """A file by its name, a page by its project."""
    assert name == addresses.called(Target("pypi", None, path))
