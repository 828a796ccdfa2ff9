"""Pages for pip and web servers, read as installers read them."""

from __future__ import annotations

from proxy.bundles.static_pages import ListedFile, all_files, project_list, project_page
from proxy.model import Digest
from proxy.python.parsing import parse

_FILE = ListedFile('demo-1+"x".whl', 'files/pypi/h/a b/demo-1+"x".whl', "ab" * 32, ">=3.9,<4", "not & good", "cd" * 32)


def test_project_page__says_what_the_index_said() -> None:
    """Digest, Python versions, why it was yanked, metadata; the link leads from the page to the file."""
    files = [_FILE, ListedFile("demo-2.zip", "files/pypi/_/demo-2.zip", "ef" * 32, yanked=True)]
    body = b"".join(project_page("demo", files))

    page = parse(body, "text/html", "https://host.example/simple/demo/index.html")

    first, second = page.files
    assert ('demo-1+"x".whl', ">=3.9,<4", "not & good") == (first.filename, first.requires_python, first.yanked)
    assert (Digest("sha256", "ab" * 32),) == first.digests
    assert Digest("sha256", "cd" * 32) == first.core_metadata
    assert first.url.startswith("https://host.example/files/pypi/h/a%20b/demo-1")
    assert ("https://host.example/files/pypi/_/demo-2.zip", True, None) == (
        second.url, second.yanked, second.requires_python,
    )  # fmt: skip


def test_all_files__links_from_the_top() -> None:
    """As pip --find-links reads them."""
    page = parse(b"".join(all_files([_FILE])), "text/html", "https://host.example/find-links.html")

    assert ["https://host.example/files/pypi/h/a%20b/"] == [file.url.rpartition("demo")[0] for file in page.files]


def test_project_list__links_to_pages() -> None:
    """With slashes."""
    assert b'<a href="demo/">demo</a>' in b"".join(project_list(["demo", "other"]))
