"""`proxy.python.rendering`."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import pytest
from msgspec import structs

from proxy.model import Digest, Site, Target
from proxy.python.negotiation import Format
from proxy.python.page import File, Page
from proxy.python.parsing import parse
from proxy.python.rendering import record, render

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
HERE = Target("pypi", None, "simple/torch/")
HEX, OTHER = "0123456789abcdef" * 4, "f" * 64
WHEEL = File("x-1-py3-none-any.whl", "https://files.example/p/x-1-py3-none-any.whl", (Digest("sha256", HEX),))
JSON_TYPE, HTML_TYPE = Format.JSON.content_type, Format.TEXT.content_type


class Anchors(HTMLParser):
    """The anchors of a page as the standard library reads them: attributes and text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.metas: dict[str | None, str | None] = {}
        self._open: dict[str, str | None] | None = None
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open = dict(attrs)
        elif tag == "meta":
            given = dict(attrs)
            self.metas[given.get("name")] = given.get("content")

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found.append((self._open, data))
            self._open = None


def as_json(page: Page) -> Any:
    """The page as a client reads its JSON."""
    return json.loads(render(page, HERE, SITE, Format.JSON))


def as_html(page: Page) -> Anchors:
    """The page as a client reads its HTML."""
    return Anchors(render(page, HERE, SITE, Format.HTML))


def one(page: Page) -> tuple[dict[str, str | None], dict[str, Any]]:
    """The one file of a page: its attributes in HTML, its keys in JSON."""
    ((attributes, _),) = as_html(page).found
    (item,) = as_json(page)["files"]
    return attributes, item


def test_render__html_page() -> None:
    """A page is what PEP 503 says, byte for byte."""
    wheel = structs.replace(WHEEL, core_metadata=True)
    page = Page("torch", (wheel,), html=False, api_version="1.4", status="archived", status_reason="<old>")
    assert render(page, HERE, SITE, Format.TEXT).decode() == (
        "<!DOCTYPE html>\n<html>\n  <head>\n"
        '    <meta name="pypi:repository-version" content="1.4">\n'
        '    <meta name="pypi:project-status" content="archived">\n'
        '    <meta name="pypi:project-status-reason" content="&lt;old&gt;">\n'
        "    <title>Links for torch</title>\n  </head>\n  <body>\n    <h1>Links for torch</h1>\n"
        f'    <a href="../../~files/files.example/p/x-1-py3-none-any.whl#sha256={HEX}"'
        ' data-dist-info-metadata="true" data-core-metadata="true">x-1-py3-none-any.whl</a><br />\n'
        "  </body>\n</html>\n"
    )


def test_render__json_page() -> None:
    """A page in JSON keeps its version, its keys and its versions; only the addresses change."""
    body = {
        "meta": {"api-version": "1.4", "_last-serial": 7, "new": [1]},
        "name": "torch",
        "project-status": {"status": "active", "more": {}},
        "versions": ["1", "2"],
        "alternate-locations": [],
        "files": [
            {
                "filename": "x-1.tar.gz",
                "url": "https://files.example/p/x-1.tar.gz",
                "hashes": {"sha256": HEX, "blake2b": "00"},
                "core-metadata": False,
                "data-dist-info-metadata": False,
                "requires-python": ">=3",
                "yanked": "why",
                "gpg-sig": True,
                "size": 12,
                "upload-time": "2026-01-02T03:04:05.000000Z",
                "provenance": "https://index.example/p",
                "new": {"deep": [None, 1.5, 123456789012345678901234567890]},
            }
        ],
    }
    page = parse(json.dumps(body).encode(), JSON_TYPE, "https://index.example/simple/torch/")
    body["files"][0]["url"] = "../../~files/files.example/p/x-1.tar.gz"  # type: ignore[index]
    assert body == as_json(page)


@pytest.mark.parametrize(
    ("url", "href"),
    [
        ("https://index.example/simple/torch/x.whl", "x.whl"),
        ("https://index.example/simple/torch/x%2Bcpu.whl", "x%2Bcpu.whl"),
        ("https://index.example/whl/x.whl", "../../whl/x.whl"),
        ("https://files.example:8443/x.whl?sig=1", "../../~files/files.example:8443/x.whl"),
        ("http://files.example/x.whl", "../../~files/files.example:80/x.whl"),
    ],
)
def test_render__links(url: str, href: str) -> None:
    """Links are relative, without a query, and stay on this cache."""
    name = unquote(url.partition("?")[0].rpartition("/")[2])
    attributes, item = one(Page("torch", (File(name, url),), html=True))
    assert (href, href) == (attributes["href"], item["url"])


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example:443/x.whl?a=1&b='2'",
        "https://files.example/%5C/x.whl",
        "https://files.example/%FF/x.whl",
        "git+https://git.example/acme@1.0",
        "ftp://files.example/x.whl",
    ],
)
def test_render__link_that_cannot_be_asked_for(url: str) -> None:
    """A file that has no address here is passed on as it is, and nothing is promised beside it."""
    attributes, item = one(Page("torch", (File("x.whl", url, fragment="egg=x-1&subdirectory=y"),), html=True))
    assert (f"{url}#egg=x-1&subdirectory=y",) * 2 == (attributes["href"], item["url"])
    assert not {"data-core-metadata", "data-dist-info-metadata"} & set(attributes)
    assert "core-metadata" not in item


def test_render__fragment_and_hash() -> None:
    """In HTML a fragment that installers read stands beside the hash, in JSON it is in the address, without it."""
    digest = Digest("sha256", "a" * 64)
    file = File("1.0.tar.gz", "https://index.example/simple/torch/1.0.tar.gz", (digest,), fragment="egg=torch-1.0")
    attributes, item = one(Page("torch", (file,), html=False))
    assert f"1.0.tar.gz#{digest}&egg=torch-1.0" == attributes["href"]
    assert ("1.0.tar.gz#egg=torch-1.0", {"sha256": "a" * 64}) == (item["url"], item["hashes"])
    attributes, item = one(Page("torch", (structs.replace(file, fragment="main"),), html=True))
    assert ("1.0.tar.gz#main", "1.0.tar.gz") == (attributes["href"], item["url"])


@pytest.mark.parametrize(
    ("core_metadata", "shown", "text"),
    [
        (None, None, None),
        (False, False, None),
        (True, True, "true"),
        (Digest("sha256", OTHER), {"sha256": OTHER}, f"sha256={OTHER}"),
    ],
)
def test_render__core_metadata(*, core_metadata: bool | Digest | None, shown: object, text: str | None) -> None:
    """Upstream's word stands under the new name and under the old one that clients read."""
    attributes, item = one(Page("x", (structs.replace(WHEEL, core_metadata=core_metadata),), html=False))
    assert (text, text) == (attributes.get("data-core-metadata"), attributes.get("data-dist-info-metadata"))
    assert (shown, shown) == (item.get("core-metadata"), item.get("data-dist-info-metadata"))
    assert ("core-metadata" in item) == (core_metadata is not None)
    assert "dist-info-metadata" not in item  # pip 22.3 to 23.1 fails on it


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        (WHEEL, None),
        (structs.replace(WHEEL, core_metadata=False), False),
        (structs.replace(WHEEL, core_metadata=True), True),
        (structs.replace(WHEEL, core_metadata=Digest("sha256", OTHER)), {"sha256": OTHER}),
    ],
)
def test_render__metadata(file: File, shown: object) -> None:
    """What is said of metadata is said in JSON as it is, and in HTML where there is some."""
    attributes, item = one(Page("x", (file,), html=True))
    assert shown == item.get("core-metadata")
    assert ("data-core-metadata" in attributes) == bool(shown)


@pytest.mark.parametrize(("yanked", "text"), [(False, None), (True, ""), ('"a" <b>', '"a" <b>')])
def test_render__yanked(*, yanked: bool | str, text: str | None) -> None:
    """A yanked file is one in both forms, with its reason."""
    attributes, item = one(Page("x", (structs.replace(WHEEL, yanked=yanked),), html=True))
    assert yanked == item["yanked"]
    assert text == attributes.get("data-yanked")
    assert (yanked is not False) == ("data-yanked" in attributes)


def test_render__attributes() -> None:
    """What is known of a file stands in both forms."""
    file = structs.replace(
        WHEEL, requires_python=">=3.8,<4", gpg_sig=False, size=5, upload_time="2026-01-02T03:04:05Z",
        provenance="https://index.example/p?a=1&b",
    )  # fmt: skip
    attributes, item = one(Page("x", (file,), html=True))
    known = {
        "requires-python": ">=3.8,<4", "gpg-sig": "false", "size": "5", "upload-time": "2026-01-02T03:04:05Z",
        "provenance": "https://index.example/p?a=1&b",
    }  # fmt: skip
    assert {"href": f"../../~files/files.example/p/x-1-py3-none-any.whl#sha256={HEX}"} | {
        f"data-{name}": value for name, value in known.items()
    } == attributes
    assert item == known | {
        "filename": WHEEL.filename,
        "url": "../../~files/files.example/p/x-1-py3-none-any.whl",
        "hashes": {"sha256": HEX},
        "gpg-sig": False,
        "size": 5,
        "yanked": False,
    }


@pytest.mark.parametrize(
    ("file", "fragment"),
    [
        (structs.replace(WHEEL, digests=()), ""),
        (structs.replace(WHEEL, digests=(Digest("md5", "a" * 32),)), "#md5=" + "a" * 32),
        (structs.replace(WHEEL, fragment="egg=x&y"), f"#sha256={HEX}&egg=x&y"),
        (structs.replace(WHEEL, fragment=f"egg=x&sha256={HEX}"), f"#egg=x&sha256={HEX}"),
        (structs.replace(WHEEL, fragment="main"), "#main"),
        (structs.replace(WHEEL, digests=(), fragment='"><script>'), '#"><script>'),
    ],
)
def test_render__fragment(file: File, fragment: str) -> None:
    """The best digest stands behind the address, or whatever upstream had there."""
    attributes, _ = one(Page("x", (file,), html=True))
    assert f"../../~files/files.example/p/x-1-py3-none-any.whl{fragment}" == attributes["href"]


def test_render__html_to_html() -> None:
    """Attributes and metas that are not known pass, but for what a browser would act on."""
    body = (
        b'<meta name="pypi:repository-version" content="1.0"><meta name="pypi:tracks" content="https://x.example/&quot;">'
        b'<a href="x.whl" rel="internal" data-new="&quot;&gt;" data-bare onclick="alert(1)" style="x" a&quot;b="c">'
        b"x.whl</a>"
    )
    found = as_html(parse(body, HTML_TYPE, "https://index.example/simple/torch/"))
    assert found.found == [({"href": "x.whl", "rel": "internal", "data-new": '">', "data-bare": None}, "x.whl")]
    assert found.metas == {"pypi:repository-version": "1.0", "pypi:tracks": 'https://x.example/"'}


@pytest.mark.parametrize("fmt", [Format.JSON, Format.HTML])
@pytest.mark.parametrize("upstream", [Format.JSON, Format.HTML])
def test_render__other_indexes(upstream: Format, fmt: Format) -> None:
    """What a page says of other indexes is on the cache's page, whichever form either has (PEP 708)."""
    body = {
        Format.JSON: b'{"meta": {"tracks": ["https://a.example/x/", "https://b.example/x/"]},'
        b' "files": [], "alternate-locations": ["https://c.example/x/"]}',
        Format.HTML: b"<title>Links for torch</title>"
        b'<meta name="pypi:tracks" content="https://a.example/x/"><meta name="pypi:tracks" content="https://b.example/x/">'
        b'<meta name="pypi:alternate-locations" content="https://c.example/x/">',
    }[upstream]
    page = parse(body, upstream.content_type, "https://index.example/simple/torch/")
    if fmt is Format.JSON:
        made = as_json(page)
        assert made["meta"]["tracks"] == ["https://a.example/x/", "https://b.example/x/"]
        assert made["alternate-locations"] == ["https://c.example/x/"]
    else:
        text = render(page, HERE, SITE, fmt)
        for name, host in (("tracks", "a"), ("tracks", "b"), ("alternate-locations", "c")):
            assert f'<meta name="pypi:{name}" content="https://{host}.example/x/">'.encode() in text


def test_render__html_to_json() -> None:
    """A page in HTML knows no sizes and versions, so its JSON is of the version that needs none."""
    body = b'<meta name="pypi:repository-version" content="1.4"><meta name="pypi:project-status" content="archived">'
    page = parse(body + b'<a href="x.whl" rel="internal">', HTML_TYPE, "https://index.example/simple/torch/")
    assert as_json(page) == {
        "meta": {"api-version": "1.0"},
        "name": "torch",
        "files": [{"filename": "x.whl", "url": "x.whl", "hashes": {}, "yanked": False}],
        "project-status": {"status": "archived"},
    }


def test_render__json_to_html() -> None:
    """What only JSON has stays out of HTML, and a later version is not claimed."""
    body = {"meta": {"api-version": "1.9", "_last-serial": 1}, "x": 1, "files": [{"url": "x.whl", "rel": "internal"}]}
    found = as_html(parse(json.dumps(body).encode(), JSON_TYPE, "https://index.example/simple/torch/"))
    assert found.found == [({"href": "x.whl"}, "x.whl")]
    assert found.metas == {"pypi:repository-version": "1.4"}


def test_render__names_escaped() -> None:
    """Nothing that upstream wrote can become markup."""
    nasty = '"><script>alert(1)</script>&amp;'
    page = Page(nasty, (File(nasty, "https://files.example/x.whl", requires_python=nasty),), html=True)
    text = render(page, HERE, SITE, Format.TEXT).decode()
    assert "<script" not in text
    assert [nasty] == [attributes["data-requires-python"] for attributes, _ in Anchors(text.encode()).found]


def test_render__version_missing() -> None:
    """HTML of a page that says no version says none; JSON has to say one."""
    page = Page("x", (), html=False)
    assert as_html(page).metas == {}
    assert as_json(page) == {"meta": {"api-version": "1.0"}, "name": "x", "files": []}


def test_record__is_read_again_as_it_was() -> None:
    """What is said of files is stored in a form that the parser reads, with upstream's own addresses."""
    full = File(
        "x-1-py3-none-any.whl",
        "https://files.example/p/x-1%2Bcpu.whl?token=a%2Fb",
        (Digest("sha256", HEX), Digest("md5", "a" * 32)),
        {"blake2b_256": "00"},
        requires_python=">=3.8,<4",
        core_metadata=Digest("sha256", OTHER),
        yanked='broken "<b>"',
        gpg_sig=False,
        size=5,
        upload_time="2026-01-02T03:04:05Z",
        provenance="https://index.example/p?a=1&b",
    )
    bare = File("y", "http://files.example:81/y", yanked=True, core_metadata=False)
    page = Page("x", (full, bare), html=False, api_version="1.1")
    assert page == parse(record(page), JSON_TYPE, "https://other.example/elsewhere/")


def test_record__of_nothing() -> None:
    """An empty list is one."""
    page = Page("x", (), html=False)
    assert () == parse(record(page), JSON_TYPE, "https://index.example/").files


def test_record__offers_nothing() -> None:
    """What upstream did not say of a wheel's metadata is not kept as its word."""
    (file,) = parse(record(Page("x", (WHEEL,), html=False)), JSON_TYPE, "https://index.example/").files
    assert file.core_metadata is None


def test_render__folders() -> None:
    """Folders below the index are links too, in HTML; those elsewhere, and the page itself, are not."""
    folders = tuple(
        f"https://{place}"
        for place in (
            "index.example/simple/torch/", "index.example/simple/torch/a%20b/", "index.example/simple/",
            "index.example/", "other.example/x/",
        )
    )  # fmt: skip
    page = Page("torch", (WHEEL,), html=True, folders=folders)
    assert [("a%20b/", "a b/"), ("../", "simple/"), ("../../", "/")] == [
        (attributes["href"], text) for attributes, text in as_html(page).found[:-1]
    ]
    assert [WHEEL.filename] == [item["filename"] for item in as_json(page)["files"]]


def test_render__folders_escaped() -> None:
    """A folder may be called as it likes."""
    page = Page("x", (), html=True, folders=("https://index.example/simple/torch/%22%3E%3Cscript%3E&amp;/",))
    ((attributes, text),) = as_html(page).found
    assert ("%22%3E%3Cscript%3E%26amp%3B/", '"><script>&amp;/') == (attributes["href"], text)
