"""What an address below a mount is."""

from __future__ import annotations

import pytest

from proxy.errors import NotFound
from proxy.model import Site, Target
from proxy.python.routes import (
    Elsewhere,
    PackageFile,
    ProjectList,
    ProjectPage,
    Route,
    classify,
    file_key,
    is_binary,
    page_key,
    page_keys,
)

PYPI = Site("pypi", "https://index.example/", "simple/", 600.0)
BARE = Site("bare", "https://index.example/", "", 600.0)


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
        (PYPI, "simple/De_mo/", Elsewhere("../de-mo/")),
        (PYPI, "simple/De_mo", Elsewhere("de-mo/")),
        (PYPI, "packages/demo-1.0-py3-none-any.whl", PackageFile("demo-1.0-py3-none-any.whl")),
        (PYPI, "simple/demo/demo-1.0.tar.gz", PackageFile("demo-1.0.tar.gz")),
        (PYPI, "simple/demo/demo-1.0-py3-none-any.whl.metadata", PackageFile("demo-1.0-py3-none-any.whl.metadata")),
        (PYPI, "p/demo-1.0-variants.json", PackageFile("demo-1.0-variants.json")),
        (PYPI, "p/DEMO.WHL", PackageFile("DEMO.WHL")),
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


def test_classify__on_another_host() -> None:
    """There are only files there, of any name."""
    assert PackageFile("odd") == classify(Target("pypi", "files.example", "a/odd"), PYPI)
    with pytest.raises(NotFound):
        classify(Target("pypi", "files.example", "a/"), PYPI)


def test_keys__tell_mounts_hosts_and_paths_apart() -> None:
    """No two addresses share a key, and all pages of a project share the front of theirs."""
    targets = [
        Target(mount, host, path)
        for mount in ("pypi", "bare")
        for host in (None, "a.example", "b.example")
        for path in ("x.whl", "a.example:x.whl")
    ]
    assert len({file_key(target) for target in targets}) == len(targets)
    assert page_key("pypi", "demo", "simple/demo/").startswith(page_keys("pypi", "demo"))
    assert not page_key("pypi", "demo-x", "simple/demo-x/").startswith(page_keys("pypi", "demo"))


@pytest.mark.parametrize(
    ("name", "expected"), [("a.whl", True), ("a.TAR.GZ", True), ("a.asc", False), ("a.json", False)]
)
def test_is_binary(name: str, *, expected: bool) -> None:
    """Names of archives, in any case."""
    assert expected == is_binary(name)
