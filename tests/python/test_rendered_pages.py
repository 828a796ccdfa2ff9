"""Pages rendered once per form."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from proxy.errors import UpstreamBroken
from proxy.model import Site, Target
from proxy.python import rendered_pages
from proxy.python.negotiation import Format
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.rendered_pages import PageView, RenderedPages
from tests.python.test_parsed_pages import LONG, SHORT, document

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
HERE = Target("pypi", None, "simple/demo/")


@pytest.fixture
async def rendered() -> AsyncIterator[RenderedPages]:
    """Nothing is rendered yet."""
    work = PageWork()
    made = RenderedPages(ParsedPages(work), work)
    yield made
    await made.close()
    await work.close()


@pytest.mark.parametrize("body", [SHORT, LONG], ids=["short", "long"])
async def test_get__is_made_once(rendered: RenderedPages, body: bytes) -> None:
    """The same page in the same form is the same object; the coded one unpacks to it."""
    plain = await rendered.get(PageView(document(body), HERE, SITE), Format.JSON, gzip=False)
    again = await rendered.get(PageView(document(body), HERE, SITE), Format.JSON, gzip=False)
    coded = await rendered.get(PageView(document(body), HERE, SITE), Format.JSON, gzip=True)
    assert plain is again
    assert (plain.body, True) == (gzip.decompress(coded.body), plain.etag != coded.etag)


async def test_get__tells_addresses_apart(rendered: RenderedPages) -> None:
    """The same bytes at another address have other links: final address, mount, and place here all count."""
    here = await rendered.get(PageView(document(SHORT), HERE, SITE), Format.TEXT, gzip=False)
    moved = document(SHORT, url="https://index.example/other/demo/")
    there = await rendered.get(PageView(moved, HERE, SITE), Format.TEXT, gzip=False)
    deeper = await rendered.get(
        PageView(document(SHORT), Target("pypi", None, "simple/a/demo/"), SITE), Format.TEXT, gzip=False
    )
    assert len({here.body, there.body, deeper.body}) == 3


async def test_get__is_bounded(rendered: RenderedPages) -> None:
    """Pages that nobody asked for lately are forgotten."""
    for number in range(60):
        page = document(LONG + b"<!-- %d -->" % number)
        await rendered.get(PageView(page, HERE, SITE), Format.TEXT, gzip=False)
    assert rendered._bytes == sum(len(made.body) for made in rendered._pages.values()) <= 48 << 20


async def test_get__what_is_no_page(rendered: RenderedPages) -> None:
    """All who ask get the error, and nothing is remembered of it."""
    for _ in range(2):
        with pytest.raises(UpstreamBroken):
            await rendered.get(PageView(document(b"{}", "application/json"), HERE, SITE), Format.JSON, gzip=False)
    assert (0, 0) == (rendered._bytes, len(rendered._pages))


def test_compressed__without_the_fast_library() -> None:
    """Where there is no wheel of it, the library that Python has does the same."""
    code = (
        "import sys, gzip; sys.modules['isal'] = None; from proxy.python import rendered_pages as made; "
        "print(made._LEVEL, gzip.decompress(made.compressed(b'page' * 99)) == b'page' * 99)"
    )
    assert "6 True\n" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert (1, b"page" * 99) == (rendered_pages._LEVEL, gzip.decompress(rendered_pages.compressed(b"page" * 99)))
