"""Keys of the store."""

from __future__ import annotations

import pytest

from proxy.model import Digest, Entry, Site, Target, Validator
from proxy.python import addresses
from proxy.python.store_keys import (
    PageAddress,
    file_key,
    file_keys,
    form_key,
    made_of,
    newest_copies,
    outline_key,
    page_key,
    page_keys,
    removed_key,
)


def test_keys__tell_mounts_hosts_and_paths_apart() -> None:
    """No two addresses share a key, and all pages of a project share the front of theirs."""
    targets = [
        Target(mount, host, path)
        for mount in ("pypi", "bare")
        for host in (None, "a.example", "a.example:81", "b.example", "[::1]", "[::1]:81")
        for path in ("x.whl", "a.example:x.whl", "81:x.whl", "81:p/x.whl", "p/x.whl", ":p/x.whl", "1]:p/x.whl")
    ]
    assert len({file_key(target) for target in targets}) == len(targets)
    assert page_key("pypi", "demo", "simple/demo/").startswith(page_keys("pypi", "demo"))
    assert not page_key("pypi", "demo-x", "simple/demo-x/").startswith(page_keys("pypi", "demo"))
    assert not page_key("pypi", "demo", "simple/demo/").startswith(page_keys("pypi", ""))
    assert page_key("pypi", "", "links.html").startswith(page_keys("pypi", ""))


@pytest.mark.parametrize(
    ("path", "front"),
    [
        ("p/De.mo_x-1.0-py3-none-any.whl", "file:pypi:de-mo-x:"),
        ("p/De.mo_x-1.0-py3-none-any.whl.metadata", "file:pypi:de-mo-x:"),
        ("p/De.mo_x-1.0-py3-none-any.whl.asc", "file:pypi:de-mo-x:"),
        ("p/de-mo-x-1.0.tar.gz", "file:pypi:de-mo-x:"),
        ("p/README", "file:pypi::"),
    ],
)
def test_keys__of_files_share_their_projects_front(path: str, front: str) -> None:
    """All files of a project, and what lies beside them, are found by one prefix; all of a mount by a shorter one."""
    key = file_key(Target("pypi", "files.example", path))
    assert key.startswith(front)
    assert front == file_keys("pypi", front.split(":")[2])
    assert key.startswith(file_keys("pypi"))
    assert not key.startswith(file_keys("pyp"))


@pytest.mark.parametrize("marker", [addresses.MARKER, addresses.EARLIER_MARKER])
def test_keys__of_another_cache_upstream(marker: str) -> None:
    """The files of a cache that is upstream keep their keys, whichever marker its version has in its addresses."""
    target = Target("pypi", "cache.example:3142", f"pypi/{marker}/files.example/p/demo-1.0.tar.gz")
    assert "file:pypi:demo:cache.example/3142:pypi/+files/files.example/p/demo-1.0.tar.gz" == file_key(target)
    below = Target("pypi", None, f"p/{marker}/demo-1.0.tar.gz")
    assert f"file:pypi:demo::p/{marker}/demo-1.0.tar.gz" == file_key(below)


def test_removed_key__is_no_page() -> None:
    """What a page does not list any more is found by the page's key, and never taken for a page."""
    keys = [page_key("pypi", project, path) for project in ("", "demo") for path in ("", "a/", "removed:")]
    assert len({removed_key(key) for key in keys} | set(keys)) == 2 * len(keys)
    assert not any(removed_key(key).startswith(page_keys("pypi", "demo")) for key in keys)


@pytest.mark.parametrize("project", ["demo", ""])
@pytest.mark.parametrize("path", ["simple/demo/", "", "a:b/c.html"])
def test_page_address__of_key(project: str, path: str) -> None:
    """A page is known by its key, whatever is in its path."""
    site = Site("pypi", "https://index.example/", "simple/", 600.0)
    address = PageAddress(site, project, path)
    assert address == PageAddress.of_key(address.key, site)
    assert f"https://index.example/{path.replace(':', '%3A')}" == address.url


@pytest.mark.parametrize("project", ["demo", ""])
@pytest.mark.parametrize("path", ["simple/demo/", "", "a:b/c", ":"])
def test_made_of__inverse(project: str, path: str) -> None:
    """What is made of a page is found by the page's key, and tells it."""
    page = page_key("pypi", project, path)
    made = [outline_key(page), form_key(page, "json"), form_key(page, "json-gzip")]

    assert [page] * 3 == [made_of(key) for key in made]
    assert 3 == len({*made} - {page, removed_key(page)})


@pytest.mark.parametrize(
    "key", ["page:pypi:demo:x/", "removed:pypi:demo:x/", "file:a:b:c:d", "apt:file:x", "form:a:b", ""]
)
def test_made_of__others(key: str) -> None:
    """Everything else is nothing that was made of a page."""
    assert made_of(key) is None


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("simple/demo/", "simple/demo"),
        ("simple/De_Mo/", "simple/de-mo"),
        ("simple/+empty/demo/", "simple/demo"),
        ("simple/Demo/index.html", "simple/demo"),
        ("demo/", "/demo"),
        ("links/demo.html", "links/demo.html"),
        ("index.html", ""),
        ("", ""),
    ],
)
def test_folder__same_for_all_spellings(path: str, folder: str) -> None:
    """The pages of one folder are told apart from others by where they are."""
    site = Site("pypi", "https://index.example/", "simple/", 600.0)
    assert folder == PageAddress(site, "demo", path).folder


def _page(path: str, url: str, checked: float) -> Entry:
    return Entry(path, f"https://index.example/{url}", Digest("sha256", "0" * 64), 1, "", Validator(), 0.0, checked)


def test_newest_copies__one_of_each_address() -> None:
    """The newest first; what came from the same address counts once."""
    pages = [_page("Demo/", "demo/", 1.0), _page("cu/demo/", "cu/demo/", 2.0), _page("demo/", "demo/", 3.0)]
    assert ["demo/", "cu/demo/"] == [entry.key for entry in newest_copies(pages)]
    assert ["cu/demo/", "Demo/"] == [entry.key for entry in newest_copies(pages[:2])]
    assert [] == newest_copies([])
