"""Pages parsed once, and what is known of them without their links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.cache.documents import Document
from proxy.errors import BlobDamaged, UpstreamBroken
from proxy.model import Digest, Entry, Outcome, Validator
from proxy.python import parsed_pages
from proxy.python.parsed_page import Summary
from proxy.python.parsed_pages import PageWork, ParsedPages
from tests.bodies import Plain, sha256
from tests.pages import Link, as_html


def document(body: bytes, content_type: str = "text/html", url: str = "https://index.example/simple/demo/") -> Document:
    """A page as it is stored."""
    entry = Entry(
        "page:pypi::demo.html", url, Digest("sha256", sha256(Plain(body))), len(body), content_type, Validator(), 0, 0
    )
    return Document(entry, body, Outcome.HIT, 0, fetched=False)


@pytest.fixture
async def work() -> AsyncIterator[PageWork]:
    """Threads, and a turn for large pages."""
    made = PageWork()
    yield made
    await made.close()


@pytest.fixture
def parsed(work: PageWork) -> ParsedPages:
    """Nothing is known yet."""
    return ParsedPages(work)


SHORT = as_html("demo", [Link("demo-1.0.tar.gz", "demo-1.0.tar.gz")])
LONG = as_html("demo", [Link(f"demo-1.{number}.tar.gz", f"demo-1.{number}.tar.gz") for number in range(2000)])


async def test_get__large_pages_one_after_another(work: PageWork, parsed: ParsedPages) -> None:
    """A large page takes several times its size: only one is in hand, and small ones pass it."""
    pages = [document(LONG + b" " * (4 << 20) + b"<!-- %d -->" % number) for number in range(3)]
    asking = [asyncio.create_task(parsed.get(page)) for page in pages]
    await asyncio.sleep(0)
    small = await parsed.get(document(SHORT))
    busy = work._large.locked()
    found = await asyncio.gather(*asking)

    assert (1, True, [2000] * 3) == (len(small.page.files), busy, [len(each.page.files) for each in found])
    assert not work._large.locked()


async def test_get__is_bounded(parsed: ParsedPages) -> None:
    """Pages that nobody asked for lately are forgotten."""
    for number in range(60):
        await parsed.get(document(LONG + b"<!-- %d -->" % number))
    assert 38_000 <= parsed._links <= 40_000
    assert parsed._links == sum(len(each.page.files) for each in parsed._pages.values())


async def test_summary__outlives_the_links(parsed: ParsedPages) -> None:
    """What is known of a page does not need its body any more, when its links were forgotten."""
    page = document(LONG)
    assert parsed.summary(page) is None
    first = (await parsed.get(page)).summary
    parsed._pages.clear()
    gone = Document(page.entry, None, Outcome.HIT, 0, fetched=False)
    assert (first, Summary(hashed=False, bare=frozenset(), quarantined=False)) == (parsed.summary(gone), first)
    with pytest.raises(BlobDamaged):
        await parsed.get(gone)


async def test_summary__is_bounded(work: PageWork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that nobody asked for lately are forgotten."""
    monkeypatch.setattr(parsed_pages, "_SUMMARIES", 2)
    parsed = ParsedPages(work)
    pages = [document(SHORT + b"<!-- %d -->" % number) for number in range(3)]
    for number in (0, 1, 0, 2):
        if parsed.summary(pages[number]) is None:
            await parsed.get(pages[number])
    assert [pages[number].entry.digest.value for number in (0, 2)] == [value for value, _ in parsed._summaries]


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [
        ("x-1.whl#sha256=" + "a" * 64, Summary(True, frozenset({"https://index.example/"}), False)),
        ("x-1.whl", Summary(False, frozenset({"https://index.example/"}), False)),
        ('x-1.whl" data-core-metadata="true', Summary(False, frozenset(), False)),
        ("https://b.example/x-1.tar.gz#sha256=" + "a" * 64, Summary(True, frozenset(), False)),
        ("git+https://b.example/x.git#egg=x", Summary(True, frozenset(), False)),
    ],
)
async def test_summary__of_a_link(parsed: ParsedPages, anchor: str, expected: Summary) -> None:
    """Whether each file that can be fetched has a hash, and where wheels are that have no metadata."""
    assert expected == (await parsed.get(document(f'<a href="{anchor}">x</a>'.encode()))).summary


async def test_summary__of_a_project_in_quarantine(parsed: ParsedPages) -> None:
    """PEP 792 says so of a whole project."""
    body = b'<html><meta name="pypi:project-status" content="quarantined"></html>'
    assert (await parsed.get(document(body))).summary.quarantined


async def test_sum_up__a_page_that_was_not_parsed(parsed: ParsedPages) -> None:
    """What is known from elsewhere is known."""
    page, summary = document(SHORT), Summary(hashed=True, bare=frozenset(), quarantined=True)
    parsed.sum_up(page, summary)
    assert summary == parsed.summary(page)


async def test_get__files_of_one_name(parsed: ParsedPages) -> None:
    """All of them are found."""
    links = [Link("demo-1.0.tar.gz", f"{folder}/demo-1.0.tar.gz") for folder in "abc"]
    page = await parsed.get(document(as_html("demo", links)))
    assert [file.url[-17:-16] for file in page.by_name["demo-1.0.tar.gz"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "body",
    [
        SHORT,
        b"<html><title>Links for demo</title></html>",
        b"<html><h1>Index of /demo</h1></html>",
        b'<html><meta name="pypi:repository-version" content="1.4"></html>',
        b'<html><a href="demo-1.0.tar.gz">x</a></html>',
    ],
)
async def test_parse__index_pages(parsed: ParsedPages, body: bytes) -> None:
    """A page with a file, or one that says that it is an index page without any, is one."""
    entry = document(body).entry
    await parsed.parse(entry, body)
    assert len(parsed._pages) == 1


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"<html><h1>Please log in</h1></html>", b"\0\1"])
async def test_parse__other_pages(parsed: ParsedPages, body: bytes) -> None:
    """Anything else never takes the place of an index page."""
    with pytest.raises(UpstreamBroken):
        await parsed.parse(document(body).entry, body)
