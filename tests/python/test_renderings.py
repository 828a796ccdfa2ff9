"""Pages parsed once and rendered once per form."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from proxy.cache.documents import Document
from proxy.errors import UpstreamBroken
from proxy.model import Digest, Entry, Outcome, Site, Target, Validator
from proxy.python.negotiation import Format
from proxy.python.renderings import Renderings, Shown
from tests.bodies import Plain, sha256
from tests.pages import Link, as_html

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
HERE = Target("pypi", None, "simple/demo/")


def document(body: bytes, content_type: str = "text/html", url: str = "https://index.example/simple/demo/") -> Document:
    """A page as it is kept."""
    entry = Entry("key", url, Digest("sha256", sha256(Plain(body))), len(body), content_type, Validator(), 0, 0)
    return Document(entry, body, Outcome.HIT, 0, fetched=False)


@pytest.fixture
async def renderings() -> AsyncIterator[Renderings]:
    """An empty memo."""
    made = Renderings()
    yield made
    await made.close()


SHORT = as_html("demo", [Link("demo-1.0.tar.gz", "demo-1.0.tar.gz")])
LONG = as_html("demo", [Link(f"demo-1.{number}.tar.gz", f"demo-1.{number}.tar.gz") for number in range(2000)])


@pytest.mark.parametrize("body", [SHORT, LONG], ids=["short", "long"])
async def test_rendered__is_made_once(renderings: Renderings, body: bytes) -> None:
    """The same page in the same form is the same object; the coded one unpacks to it."""
    plain = await renderings.rendered(Shown(document(body), HERE, SITE), Format.JSON, gzip=False)
    again = await renderings.rendered(Shown(document(body), HERE, SITE), Format.JSON, gzip=False)
    coded = await renderings.rendered(Shown(document(body), HERE, SITE), Format.JSON, gzip=True)
    assert plain is again
    assert (plain.body, True) == (gzip.decompress(coded.body), plain.etag != coded.etag)


async def test_rendered__tells_addresses_apart(renderings: Renderings) -> None:
    """The same bytes at another address have other links: final address, mount, and place here all count."""
    here = await renderings.rendered(Shown(document(SHORT), HERE, SITE), Format.TEXT, gzip=False)
    moved = document(SHORT, url="https://index.example/other/demo/")
    there = await renderings.rendered(Shown(moved, HERE, SITE), Format.TEXT, gzip=False)
    deeper = await renderings.rendered(
        Shown(document(SHORT), Target("pypi", None, "simple/a/demo/"), SITE), Format.TEXT, gzip=False
    )
    assert len({here.body, there.body, deeper.body}) == 3


async def test_parsed__large_pages_one_after_another(renderings: Renderings) -> None:
    """A large page takes several times its size: only one is in hand, and small ones pass it."""
    pages = [document(LONG + b" " * (4 << 20) + b"<!-- %d -->" % number) for number in range(3)]
    asking = [asyncio.create_task(renderings.parsed(page)) for page in pages]
    await asyncio.sleep(0)
    small = await renderings.parsed(document(SHORT))
    busy = renderings._large.locked()
    found = await asyncio.gather(*asking)

    assert (1, True, [2000] * 3) == (len(small.page.files), busy, [len(parsed.page.files) for parsed in found])
    assert not renderings._large.locked()


async def test_memo__is_bounded(renderings: Renderings) -> None:
    """Pages that nobody asked for lately are forgotten."""
    for number in range(60):
        page = document(LONG + b"<!-- %d -->" % number)
        await renderings.rendered(Shown(page, HERE, SITE), Format.TEXT, gzip=False)
    assert renderings._links <= 40_000
    assert renderings._links == sum(len(parsed.page.files) for parsed in renderings._parsed.values())
    assert renderings._bytes == sum(len(made.body) for made in renderings._rendered.values()) <= 48 << 20


async def test_parsed__files_of_one_name(renderings: Renderings) -> None:
    """All of them are found."""
    links = [Link("demo-1.0.tar.gz", f"{folder}/demo-1.0.tar.gz") for folder in "abc"]
    parsed = await renderings.parsed(document(as_html("demo", links)))
    assert [file.url[-17:-16] for file in parsed.by_name["demo-1.0.tar.gz"]] == ["a", "b", "c"]


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
async def test_parse__index_pages(renderings: Renderings, body: bytes) -> None:
    """A page with a file, or one that says that it is an index page without any, is one."""
    entry = document(body).entry
    await renderings.parse(entry, body)
    assert len(renderings._parsed) == 1


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"<html><h1>Please log in</h1></html>", b"\0\1"])
async def test_parse__other_pages(renderings: Renderings, body: bytes) -> None:
    """Anything else never takes the place of an index page."""
    with pytest.raises(UpstreamBroken):
        await renderings.parse(document(body).entry, body)


async def test_rendered__what_is_no_page(renderings: Renderings) -> None:
    """All who ask get the error, and nothing is remembered of it."""
    for _ in range(2):
        with pytest.raises(UpstreamBroken):
            await renderings.rendered(Shown(document(b"{}", "application/json"), HERE, SITE), Format.JSON, gzip=False)
    assert (renderings._bytes, renderings._links) == (0, 0)
