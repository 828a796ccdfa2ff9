"""What an address below a mount is."""

from __future__ import annotations

from urllib.parse import quote, urljoin

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.errors import NotFound
from proxy.model import Group, Member, Site, Target
from proxy.python import filenames
from proxy.python.routes import (
    Elsewhere,
    FlatPage,
    OtherSpelling,
    PackageFile,
    ProjectList,
    ProjectPage,
    Route,
    classify,
    is_none_of,
    is_volatile,
    members_for,
)

PYPI = Site("pypi", "https://index.example/", "simple/", 600.0)
BARE = Site("bare", "https://index.example/", "", 600.0)
FLAT = Site("flat", "https://index.example/", "", 600.0, flat=True)


@pytest.mark.parametrize(
    ("site", "path", "expected"),
    [
        (PYPI, "simple/", ProjectList()),
        (PYPI, "simple", Elsewhere("simple/")),
        (BARE, "", ProjectList()),
        (PYPI, "simple/demo/", ProjectPage("demo")),
        (BARE, "demo/", ProjectPage("demo")),
        (PYPI, "simple/cu126/demo/", ProjectPage("demo")),
        (PYPI, "simple/demo", Elsewhere("demo/")),
        (PYPI, "simple/De_mo/", OtherSpelling("de-mo", "../de-mo/")),
        (PYPI, "simple/De_mo", Elsewhere("De_mo/")),
        # The root of a channel may be called as no project is
        (PYPI, "simple/rocm6.4/", OtherSpelling("rocm6-4", "../rocm6-4/")),
        (PYPI, "simple/rocm6.4", Elsewhere("rocm6.4/")),
        (PYPI, "simple/torch-2.8.0+cu126/", FlatPage()),
        (PYPI, "simple/torch-2.8.0+cu126", Elsewhere("torch-2.8.0%2Bcu126/")),
        (PYPI, "simple/torch-2.8.0+cu126/demo/", ProjectPage("demo")),
        (BARE, "_internal/", FlatPage()),
        (PYPI, "simple/0.8.5/demo/", ProjectPage("demo")),
        (BARE, "jp6/cu126/+simple/", OtherSpelling("simple", None)),
        (BARE, "jp6/cu126/+simple/demo/", ProjectPage("demo")),
        # Empty segments are upstream's matter
        (PYPI, "+empty/simple/demo/", ProjectPage("demo")),
        (PYPI, "simple/+empty/demo/+empty/", ProjectPage("demo")),
        (PYPI, "simple/+empty/", ProjectList()),
        # Marks say that it is a file
        (PYPI, "simple/demo/+file/demo-1.0.pyz", PackageFile("demo-1.0.pyz")),
        (PYPI, "simple/demo/+of/demo/1.0", PackageFile("1.0")),
        (PYPI, "get/+name/links.html", PackageFile("links.html")),
        (FLAT, "a/+file/README", PackageFile("README")),
        (PYPI, "packages/demo-1.0-py3-none-any.whl", PackageFile("demo-1.0-py3-none-any.whl")),
        (PYPI, "simple/demo/demo-1.0.tar.gz", PackageFile("demo-1.0.tar.gz")),
        (PYPI, "simple/demo/demo-1.0-py3-none-any.whl.metadata", PackageFile("demo-1.0-py3-none-any.whl.metadata")),
        (PYPI, "p/demo-1.0-variants.json", PackageFile("demo-1.0-variants.json")),
        (PYPI, "p/DEMO.WHL", PackageFile("DEMO.WHL")),
        # Flat pages: by their ending on any index, and the folders of a flat one
        (PYPI, "simple/links.html", FlatPage()),
        (PYPI, "torch_stable.HTM", FlatPage()),
        (FLAT, "", FlatPage()),
        (FLAT, "a/b c/", FlatPage()),
        (FLAT, "a/De_mo/", FlatPage()),
        (FLAT, "links.html", FlatPage()),
        (FLAT, "a", Elsewhere("./a/")),
        (FLAT, "a/b c", Elsewhere("./b%20c/")),
        (FLAT, "a/De_mo", Elsewhere("./De_mo/")),
        (FLAT, "https:evil.example", Elsewhere("./https%3Aevil.example/")),
        (FLAT, "a/demo-1.0.tar.gz", PackageFile("demo-1.0.tar.gz")),
        (FLAT, "a/demo-1.0-py3-none-any.whl.metadata", PackageFile("demo-1.0-py3-none-any.whl.metadata")),
    ],
)
def test_classify(site: Site, path: str, expected: Route) -> None:
    """List, page, file, or the same spelt differently."""
    assert expected == classify(Target(site.mount, None, path), site)


@pytest.mark.parametrize(
    "path", ["", "other/demo/", "simple/https:evil.example/", "simple/-x/", "simple/a b", "simple/é/"]
)
def test_classify__nothing(path: str) -> None:
    """What an index cannot have is not found; above all, it is no redirect."""
    with pytest.raises(NotFound):
        classify(Target("pypi", None, path), PYPI)


@pytest.mark.parametrize("site", [PYPI, FLAT])
def test_classify__on_another_host(site: Site) -> None:
    """There are only files there, of any name."""
    for name in ("odd", "links.html"):
        assert PackageFile(name) == classify(Target(site.mount, "files.example", f"a/{name}"), site)
    with pytest.raises(NotFound):
        classify(Target(site.mount, "files.example", "a/"), site)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters="/\\\x7f"), min_size=1, max_size=20))
def test_classify__no_redirect_leaves_its_folder(name: str) -> None:
    """Whatever a folder of a flat index is called, the redirect to it leads just there."""
    assume(name not in {".", ".."})  # an address has no such segments
    assume(not filenames.is_file(name) and not filenames.is_page(name))
    here = "http://cache.example/flat/a/"
    route = classify(Target("flat", None, f"a/{name}"), FLAT)
    assert isinstance(route, Elsewhere)
    assert f"{here}{quote(name)}/" == urljoin(here + quote(name), route.location)


# Members of a group

HOUSE, TORCH, INDEX = Member("house", ""), Member("pytorch", "whl/cu126/"), Member("pypi", "simple/")
GROUP = Group(
    "all", (HOUSE, TORCH, INDEX), (("torch", INDEX), ("torch*", TORCH), ("house-*", HOUSE), ("*-internal", HOUSE))
)


@pytest.mark.parametrize(
    ("project", "members"),
    [
        ("demo", (HOUSE, TORCH, INDEX)),
        ("torchvision", (TORCH,)),
        ("torch", (INDEX,)),
        ("house-tool", (HOUSE,)),
        ("house", (HOUSE, TORCH, INDEX)),
        ("my-internal", (HOUSE,)),
        ("my-internal-x", (HOUSE, TORCH, INDEX)),
        ("a-torch", (HOUSE, TORCH, INDEX)),
    ],
)
def test_members_for(project: str, members: tuple[Member, ...]) -> None:
    """The first pattern that fits the whole name decides; without one all are asked, in order."""
    assert members == members_for(GROUP, project)


def test_members_for__group_without_pins() -> None:
    """All members, in order."""
    assert GROUP.members == members_for(Group("all", GROUP.members), "torch")


def test_is_none_of() -> None:
    """Only where a group pins names to a member does it say which are not the member's."""
    one, two = Member("one", ""), Member("two", "")
    group = Group("all", (one, two), (("acme-*", one), ("corp", one)))
    assert is_none_of(group, one, "requests")
    assert not is_none_of(group, one, "acme-x")
    assert not is_none_of(group, one, "corp")
    assert not is_none_of(group, two, "requests")


# Volatile


@pytest.mark.parametrize(
    ("volatile", "path", "expected"),
    [
        ((), "nightly/x.whl", False),
        (("nightly/",), "nightly/cpu/x.whl", True),
        (("nightly/",), "nightly-x/x.whl", False),
        (("nightly/",), "whl/nightly/x.whl", False),
        (("test/", "nightly/"), "nightly/x.whl", True),
        (("",), "x.whl", True),
    ],
)
def test_is_volatile(volatile: tuple[str, ...], path: str, expected: bool) -> None:
    """The settings say below which paths; an empty one means all."""
    site = Site("pypi", "https://index.example/", "", 600.0, volatile=volatile)
    assert expected is is_volatile(Target("pypi", None, path), site)


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        (None, "nightly/x.whl", True),
        ("r2.example", "whl/nightly/x.whl", True),
        ("r2.example", "whl/x.whl", False),
        ("r2.example", "other/nightly/x.whl", False),
        ("files.example", "whl/nightly/x.whl", False),
    ],
)
def test_is_volatile__on_a_sibling(host: str | None, path: str, expected: bool) -> None:
    """The paths are those below the base of the host that a link leads to."""
    site = Site(
        "torch", "https://d.example/whl/", "", 600.0, volatile=("nightly/",), siblings=("https://r2.example/whl/",)
    )
    assert expected is is_volatile(Target("torch", host, path), site)
