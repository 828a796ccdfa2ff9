"""Plain links: what is done with many at once comes to what the rules for a single one say."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from proxy.model import Digest, Site, Target
from proxy.python.links import Base
from proxy.python.negotiation import Format
from proxy.python.page import EMPTY, Page
from proxy.python.parsing import parse
from proxy.python.plain_links import PlainHashes, PlainLink, PlainLinks
from proxy.python.rendering import render
from proxy.python.supplements import NOTHING_KNOWN, Supplement
from tests.python.test_file_list import links

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"
URL = "https://index.example/simple/demo/"
SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
HERE = Target("pypi", None, "simple/demo/")
SITES = [
    SITE,
    Site("pypi", "https://index.example/simple/", "", 600.0),
    Site("my mount", "https://files.example/", "simple/", 600.0),
    Site("pypi", "https://files.example/a/", "simple/", 600.0),
    Site("pypi", "http://files.example:8080/a%20b/", "simple/", 600.0),
]
PAGES = [
    HERE,
    Target("pypi", None, "demo.html"),
    Target("pypi", None, "packages/ab/"),
    Target("pypi", None, "+empty/simple/demo/"),
    Target("pypi", "files.example", "a/b/"),
]
HEX = "0123456789abcdef" * 4
WHEEL = "demo-1.0-py3-none-any.whl"
PLAIN = f"https://files.example/packages/ab/{WHEEL}"


def entry(url: str = PLAIN, filename: str | None = None, **keys: Any) -> dict[str, Any]:
    """A file of a JSON page; underscores for dashes."""
    name = url.rpartition("/")[2] if filename is None else filename
    more = {key.replace("_", "-"): value for key, value in keys.items()}
    return {"filename": name, "url": url, "hashes": {"sha256": HEX}} | more


def as_json(*files: object, odd: bool = False) -> bytes:
    """A page in JSON. `odd`: each file has a key that the standard does not have, so that no link is plain."""
    listed = [file | {"odd": 1} if odd and isinstance(file, dict) else file for file in files]
    return json.dumps({"meta": {"api-version": "1.4"}, "name": "demo", "files": listed}).encode()


def as_html(*anchors: str, odd: bool = False) -> bytes:
    """A page in HTML with these attributes of its anchors. `odd`: each has one that the standard does not have."""
    listed = "".join(f"<a {anchor}{' data-odd=1' if odd else ''}>{WHEEL}</a>" for anchor in anchors)
    return f"<!DOCTYPE html><title>Links for demo</title>{listed}".encode()


def read(body: bytes, content_type: str, url: str = URL) -> Page:
    """The page, all of whose files can have further keys or none."""
    return parse(body, content_type, url)


def shown(
    page: Page, form: Format, supplement: Supplement = NOTHING_KNOWN, here: Target = HERE, site: Site = SITE
) -> bytes:
    """What a client gets, without the odd keys."""
    body = render(supplement.complete(page), here, site, form)
    return body.replace(b'"odd":1,', b"").replace(b' data-odd="1"', b"")


def same(plain: Page, other: Page) -> bool:
    """Whether both pages come to the same: their files, and what clients get."""
    files = [structs.replace(file, extra=EMPTY) for file in other.files]
    assert list(plain.files) == files
    for site, here, form in product(SITES, PAGES, (Format.JSON, Format.HTML)):
        assert shown(plain, form, here=here, site=site) == shown(other, form, here=here, site=site)
    return True


GOOD = [
    entry(),
    entry(core_metadata={"sha256": HEX}, data_dist_info_metadata={"sha256": HEX}),
    entry(core_metadata=True, dist_info_metadata=False),
    entry(core_metadata=False),
    entry(requires_python=">=3.8,<4", yanked="bad <one>", size=12, upload_time="2024-01-01T00:00:00Z"),
    entry(requires_python=None, yanked=True, gpg_sig=False, provenance="https://index.example/p"),
    entry(requires_python="", yanked="", provenance=None, size=0),
    entry("https://index.example/packages/demo-1.0.tar.gz"),
    entry("https://index.example/simple/demo/demo-1.0.tar.gz"),
    entry("http://files.example:8080/a/demo-1.0.tar.gz"),
    entry("../../packages/demo-1.0.tar.gz"),
    entry("/packages/demo-1.0.tar.gz"),
    entry("demo-1.0.tar.gz"),
    entry("sub/demo-1.0.tar.gz"),
    entry("https://files.example/demo-1.0.tar.gz"),
    entry("https://files.example/a/demo-1.0%2Bcpu-py3-none-any.whl", "demo-1.0+cpu-py3-none-any.whl"),
    entry("https://files.example/a/demo-1.0+cpu-py3-none-any.whl"),
    entry("https://index.example/~files/files.example/demo-1.0.tar.gz"),
    entry("https://index.example/~filesystem/a/demo-1.0.tar.gz"),
    entry("https://files.example/a/odd"),
    entry("https://FILES.example/demo-1.0.tar.gz"),
    entry("https://files.example:443/demo-1.0.tar.gz"),
    entry("http://files.example:443/demo-1.0.tar.gz"),
    entry("https://user:secret@files.example/demo-1.0.tar.gz"),
    entry("/".join(["https://files.example", *"abcdefghijklmnopqrst", "demo-1.0.tar.gz"])),
]
# The rules for a single one say something of these.
BAD = [
    entry("HTTPS://files.example/demo-1.0.tar.gz"),
    entry("//files.example/demo-1.0.tar.gz"),
    entry("https://files.example//demo-1.0.tar.gz"),
    entry("https://files.example/a//demo-1.0.tar.gz"),
    entry("https://files.example/a/../demo-1.0.tar.gz"),
    entry("https://files.example/.a/demo-1.0.tar.gz"),
    entry("https://files.example/+file/demo-1.0.tar.gz"),
    entry("https://files.example/a%20b/demo-1.0.tar.gz"),
    entry("https://files.example/demo-1.0.tar.gz?a=1", "demo-1.0.tar.gz"),
    entry("https://files.example/demo-1.0.tar.gz#egg=demo", "demo-1.0.tar.gz"),
    entry("https://files.example/demo-1.0.tar.gz\n", "demo-1.0.tar.gz"),
    entry("https://files.example/a\nb/demo-1.0.tar.gz"),
    entry("https://files.example/démo-1.0.tar.gz"),
    entry("https://files.example/", "demo-1.0.tar.gz"),
    entry("https://files.example/a/", ""),
    entry("https://files.example", ""),
    entry("", ""),
    entry("javascript:alert()", "demo-1.0.tar.gz"),
    entry("git+https://g.example/demo.git@v1", "demo-1.0.tar.gz"),
    entry("ftp://files.example/demo-1.0.tar.gz"),
    entry("./demo-1.0.tar.gz"),
    entry(f"https://files.example/{'a' * 260}/demo-1.0.tar.gz"),
    entry(filename="other-1.0.tar.gz"),
    entry(filename="demo-1.0.tar.gz\nx"),
    entry(filename=""),
    entry(hashes={}),
    entry(hashes={"sha256": HEX.upper()}),
    entry(hashes={"sha256": HEX[1:] + "g"}),
    entry(hashes={"sha256": HEX[1:] + "é"}),
    entry(hashes={"sha256": HEX, "md5": HEX[:32]}),
    entry(hashes={"sha256": HEX[1:]}),
    entry(core_metadata={"sha256": HEX.upper()}),
    entry(core_metadata={"md5": HEX[:32]}),
    entry(core_metadata="sha256"),
    entry(dist_info_metadata=True),
    entry(data_dist_info_metadata={"sha256": HEX}),
    entry(size=-1),
    entry(size=1.5),
    entry(size=True),
    entry(size=1 << 70),
    entry(yanked=3),
    entry(requires_python=3),
    entry() | {"url": 7},
]


def named(file: dict[str, Any]) -> str:
    """A short name of a case."""
    return " ".join(
        f"{key}={value!r:.60}" for key, value in file.items() if (key, value) != ("hashes", {"sha256": HEX})
    )


@pytest.mark.parametrize("file", [*GOOD, *BAD], ids=named)
def test_told__as_one_by_one(file: dict[str, Any]) -> None:
    """Of each link the same is known, and the same is shown, alone and between others."""
    assert same(read(as_json(file), JSON), read(as_json(file, odd=True), JSON))
    assert same(read(as_json(entry(), file, *GOOD), JSON), read(as_json(entry(), file, *GOOD, odd=True), JSON))


@pytest.mark.parametrize("file", GOOD, ids=named)
def test_told__usual_links_are_plain(file: dict[str, Any]) -> None:
    """No file is made of a usual link."""
    assert [True] == [isinstance(link, PlainLink) for link in links(read(as_json(file), JSON))]


@pytest.mark.parametrize("file", BAD, ids=named)
def test_told__others_are_files(file: dict[str, Any]) -> None:
    """What the rules are needed for is never taken for plain."""
    assert not any(isinstance(link, PlainLink) for link in links(read(as_json(file), JSON)))


def test_told__one_between_many() -> None:
    """One odd link does not make the others odd, and all stay in their order."""
    files = [entry(f"https://files.example/a/demo-1.{number}.tar.gz") for number in range(1200)]
    files[700] = entry("https://files.example/a//demo-1.700.tar.gz")
    page = read(as_json(*files), JSON)

    assert [file["filename"] for file in files] == [file.filename for file in page.files]
    assert [700] == [place for place, link in enumerate(links(page)) if not isinstance(link, PlainLink)]
    assert same(page, read(as_json(*files, odd=True), JSON))


@pytest.mark.parametrize("count", [8, 9, 20])
def test_told__of_many_hosts(count: int) -> None:
    """Links that begin in many ways are the same as those that begin in one."""
    files = [entry(f"https://{number}.example/a/demo-1.{number}.tar.gz") for number in range(count)]
    assert same(read(as_json(*files, *files), JSON), read(as_json(*files, *files, odd=True), JSON))


@pytest.mark.parametrize(
    "url",
    [
        "https://index.example/simple/demo",
        "https://index.example/a%20b/c/demo/",
        "https://index.example/a//b/demo/",
        "https://index.example/a+b/demo/",
        "http://index.example/simple/demo/?x=/y/",
        f"https://index.example/{'a' * 240}/demo/",
    ],
)
def test_told__on_pages_elsewhere(url: str) -> None:
    """A link that is relative to an odd address leads to an odd address."""
    assert same(read(as_json(*GOOD), JSON, url), read(as_json(*GOOD, odd=True), JSON, url))


ANCHORS = [
    f'href="{PLAIN}#sha256={HEX}"',
    f'href=" {PLAIN}#sha256={HEX} " data-requires-python="&gt;=3.8"',
    f'href="{PLAIN}#sha256={HEX}" data-yanked',
    f'href="{PLAIN}#sha256={HEX}" data-yanked="bad"',
    f'href="{PLAIN}#sha256={HEX}" data-core-metadata="sha256={HEX}"',
    f'href="{PLAIN}#sha256={HEX}" data-dist-info-metadata="true"',
    f'href="{PLAIN}#sha256={HEX}" data-core-metadata="false" data-dist-info-metadata="true"',
    f'href="../../a/demo-1.0%2Bcpu.tar.gz#sha256={HEX}"',
]
OTHERS = [
    f'href="{PLAIN}"',
    f'href="{PLAIN}#sha256={HEX.upper()}"',
    f'href="{PLAIN}#sha256={HEX}&egg=demo"',
    f'href="{PLAIN}#md5={HEX[:32]}"',
    f'href="{PLAIN}#sha256={HEX}" data-core-metadata="md5={HEX[:32]}"',
    f'href="{PLAIN}#sha256={HEX}" data-gpg-sig="true"',
    f'href="{PLAIN}#sha256={HEX}" data-size="12"',
    f'href="{PLAIN}?a=1#sha256={HEX}"',
    f'href="?C=N#sha256={HEX}"',
    f'href="#sha256={HEX}"',
    'href="../"',
    "href",
]


@pytest.mark.parametrize("anchor", [*ANCHORS, *OTHERS])
def test_told__of_html_as_one_by_one(anchor: str) -> None:
    """The same for anchors of a page in HTML, and its folders."""
    plain, odd = (read(as_html(ANCHORS[0], anchor, *ANCHORS, odd=odd), HTML) for odd in (False, True))
    assert same(plain, odd)
    assert odd.folders == plain.folders


@pytest.mark.parametrize("anchor", ANCHORS)
def test_told__usual_anchors_are_plain(anchor: str) -> None:
    """No file is made of a usual anchor."""
    assert [True] == [isinstance(link, PlainLink) for link in links(read(as_html(anchor), HTML))]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*GOOD, *GOOD, *BAD]), max_size=12), st.booleans())
def test_told__any_page(files: list[dict[str, Any]], promised: bool) -> None:
    """Whatever links come together, the page is that of the rules for a single one."""
    plain, odd = read(as_json(*files), JSON), read(as_json(*files, odd=True), JSON)
    assert same(plain, odd)
    supplement = Supplement(only=frozenset({PLAIN}), stored=frozenset({PLAIN})) if promised else Supplement()
    assert shown(plain, Format.JSON, supplement) == shown(odd, Format.JSON, supplement)


def test_plain_link__has_what_its_file_has() -> None:
    """Who reads many links need not make files of them."""
    for link in links(read(as_json(*GOOD), JSON)):
        assert isinstance(link, PlainLink)
        file = link.file()
        alike = "filename url origin small bare fetchable project requires_python yanked best_digest"
        for name in alike.split():
            assert getattr(file, name) == getattr(link, name)
        assert bool(file.core_metadata) == bool(link.core_metadata)


def test_offering__leaves_the_link_as_it_is() -> None:
    """What is known here is no word of the index."""
    link = PlainLink(WHEEL, PLAIN, PlainHashes(HEX))
    assert (True, None) == (link.offering().core_metadata, link.core_metadata)
    assert (False, True) == (link.offering().bare, link.bare)
    assert ("x", PLAIN) == (link.at("x").url, link.url)


def test_hashes__as_a_fragment() -> None:
    """Their text is that of a digest."""
    assert str(Digest("sha256", HEX)) == str(PlainHashes(HEX))


def test_told__leaves_out_what_nobody_could_follow() -> None:
    """A link for which there is no file is left out."""
    assert [] == PlainLinks(Base.of(URL)).told([PlainLink("x", "javascript:x", PlainHashes(HEX))], lambda _: None)
