"""What is remembered of a page."""

from __future__ import annotations

from msgspec import structs

from proxy.model import Digest
from proxy.python.file_list import FileList
from proxy.python.page import File, Page
from proxy.python.parsed_page import PageChange, ParsedPage, Summary
from proxy.python.plain_links import PlainHashes, PlainLink

HEX = "0123456789abcdef" * 4
WHEEL = PlainLink("demo-1.0-py3-none-any.whl", "https://files.example/a/demo-1.0-py3-none-any.whl", PlainHashes(HEX))
FILE = File("demo-1.0.tar.gz", "https://other.example/demo-1.0.tar.gz", (Digest("sha256", HEX),))


def parsed(*files: File | PlainLink) -> ParsedPage:
    """A page with these files."""
    return ParsedPage.of(Page("demo", FileList(files), html=False))


def summary(*files: File | PlainLink, status: str | None = None) -> Summary:
    """The summary of a page with these files."""
    return ParsedPage.of(Page("demo", FileList(files), html=False, status=status)).summary


def test_summary__hashed() -> None:
    """Each file that can be fetched has a digest; plain links have one anyway."""
    elsewhere = File("demo", "git+https://g.example/demo")
    assert (True, True) == (summary().hashed, summary(WHEEL, FILE, elsewhere).hashed)
    assert not summary(WHEEL, File("demo-1.0.tar.gz", "https://other.example/demo-1.0.tar.gz")).hashed


def test_summary__bare() -> None:
    """The origins of wheels without metadata, however their links are written."""
    wheel = File(WHEEL.filename, f"http://other.example:8080/{WHEEL.filename}")
    assert frozenset({"https://files.example/", "http://other.example:8080/"}) == summary(WHEEL, wheel, FILE).bare
    assert frozenset() == summary(WHEEL.offering(), FILE).bare


def test_summary__quarantined() -> None:
    """PEP 792."""
    assert (True, False) == (summary(status="quarantined").quarantined, summary(status="active").quarantined)


def test_by_name__of_the_page() -> None:
    """The files of the page under their names."""
    page = parsed(WHEEL, FILE)
    assert {WHEEL.filename: [WHEEL.file()], FILE.filename: [FILE]} == dict(page.by_name)


def test_change__between_two_pages() -> None:
    """Another query is the same address; one place of several is enough; order is that of the page before."""
    query = File("query.zip", "https://files.example/query.zip?a=1")
    gone = File("gone.zip", "https://files.example/gone.zip")
    moved = File("moved.zip", "https://files.example/1/moved.zip")
    fresh: list[File | PlainLink] = [
        WHEEL,
        structs.replace(query, url="https://files.example/query.zip?a=2"),
        structs.replace(moved, url="https://files.example/2/moved.zip"),
        structs.replace(FILE, url="https://files.example/mirror.zip"),
        FILE,
    ]
    old, new = parsed(gone, moved, query, WHEEL, FILE), parsed(*fresh)

    change = PageChange.between(old, new)

    assert ((gone,), (moved,)) == (change.dropped, change.moved)
    assert PageChange((), ()) == PageChange.between(new, new)
