"""`proxy.python.parsing`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.errors import UpstreamBroken
from proxy.model import Digest
from proxy.python.page import File, Page
from proxy.python.parsing import parse

URL = "https://index.example/simple/torch/"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html; charset=utf-8"
HEX = "0123456789abcdef" * 4
OTHER = "f" * 64


def html(*anchors: str, head: str = "") -> Page:
    """A page in HTML, with these anchors."""
    return parse(f"<!DOCTYPE html><html><head>{head}</head><body>{''.join(anchors)}</body></html>".encode(), HTML, URL)


def link(attributes: str) -> File:
    """The one file of a page whose one anchor has these attributes."""
    (file,) = html(f"<a {attributes}>text that says something else</a>").files
    return file


def page(**top: Any) -> Page:
    """A page in JSON, with these keys at the top."""
    body: dict[str, Any] = {"meta": {"api-version": "1.4"}, "name": "torch", "files": []}
    return parse(json.dumps(body | top).encode(), JSON, URL)


def entry(**keys: Any) -> File:
    """The one file of a JSON page whose one item has these keys, underscores for dashes."""
    item = {"filename": "x.whl", "url": "x.whl", "hashes": {}} | {key.replace("_", "-"): keys[key] for key in keys}
    (file,) = page(files=[item]).files
    return file


# ---------------------------------------------------------------------- HTML


@pytest.mark.parametrize(
    ("href", "fragment", "digests"),
    [
        (f"x.whl#sha256={HEX}", "", (Digest("sha256", HEX),)),
        (f"x.whl#sha256={HEX.upper()}", "", (Digest("sha256", HEX),)),
        (f"x.whl#sha256%3D{HEX}", "", (Digest("sha256", HEX),)),
        (f"x.whl#md5={HEX[:32]}", "", (Digest("md5", HEX[:32]),)),
        (f"x.whl#sha1={HEX[:40]}", "", (Digest("sha1", HEX[:40]),)),
        (f"x.whl#sha512={HEX * 2}", "", (Digest("sha512", HEX * 2),)),
        (f"x.whl#egg=x&amp;sha256={HEX}", f"egg=x&sha256={HEX}", (Digest("sha256", HEX),)),
        (
            f"x.whl#md5={HEX[:32]}&amp;sha256={HEX}",
            f"md5={HEX[:32]}&sha256={HEX}",
            (Digest("sha256", HEX), Digest("md5", HEX[:32])),
        ),
        ("x.whl", "", ()),
        ("x.whl#", "", ()),
        ("x.whl#main", "main", ()),
        ("x.whl#egg=x-1.0", "egg=x-1.0", ()),
        ("x.whl#sha256=short", "sha256=short", ()),
        ("x.whl#blake2b=00", "blake2b=00", ()),
    ],
)
def test_parse__html_fragment(href: str, fragment: str, digests: tuple[Digest, ...]) -> None:
    """A fragment that is a digest is read; any other is kept."""
    file = link(f'href="{href}"')
    assert (fragment, digests) == (file.fragment, file.digests)
    assert file.url == "https://index.example/simple/torch/x.whl"


@pytest.mark.parametrize(
    ("href", "url", "filename"),
    [
        ("x&#43;cpu.whl", "https://index.example/simple/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("x%2Bcpu.whl", "https://index.example/simple/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("x+cpu.whl", "https://index.example/simple/torch/x%2Bcpu.whl", "x+cpu.whl"),
        (" \n../../whl/x.whl\t", "https://index.example/whl/x.whl", "x.whl"),
        ("/whl/x.whl", "https://index.example/whl/x.whl", "x.whl"),
        ("//files.example/x.whl", "https://files.example/x.whl", "x.whl"),
        ("https://files.example/x.whl?a=1&amp;b=2", "https://files.example/x.whl?a=1&b=2", "x.whl"),
    ],
)
def test_parse__html_href(href: str, url: str, filename: str) -> None:
    """The file's name is the last segment of its address, whatever the anchor's text."""
    file = link(f'href="{href}"')
    assert (url, filename) == (file.url, file.filename)


@pytest.mark.parametrize(
    ("attributes", "yanked"), [("", False), ("data-yanked", True), ('data-yanked=""', True), ("data-yanked=bad", "bad")]
)
def test_parse__html_yanked(attributes: str, *, yanked: bool | str) -> None:
    """The attribute's presence says it; a value is the reason."""
    assert yanked == link(f"href=x.whl {attributes}").yanked


@pytest.mark.parametrize(
    ("attributes", "core_metadata"),
    [
        ("", None),
        ('data-core-metadata="true"', True),
        (f"data-core-metadata=sha256={HEX}", Digest("sha256", HEX)),
        (f"data-dist-info-metadata=sha256={HEX}", Digest("sha256", HEX)),
        (f"data-dist-info-metadata=sha256={HEX} data-core-metadata=sha256={OTHER}", Digest("sha256", OTHER)),
        (f"data-dist-info-metadata=sha256={HEX} data-core-metadata=true", True),
        ("data-core-metadata=false", False),
        ("data-core-metadata", True),
        ("data-core-metadata=blake2b=00", True),
    ],
)
def test_parse__html_core_metadata(attributes: str, *, core_metadata: bool | Digest | None) -> None:
    """Both names are known, the new one counts first (PEP 714)."""
    assert core_metadata == link(f"href=x.whl {attributes}").core_metadata


def test_parse__html_attributes() -> None:
    """All that is known of a link has its place, and all else is kept."""
    file = link(
        'href="x.whl" data-requires-python="&gt;=3.8,&lt;4" data-gpg-sig="true" data-size="12"'
        ' data-upload-time="2026-01-02T03:04:05Z" data-provenance="https://index.example/p?x=1&amp;y" rel="internal"'
        ' data-new="&quot;a&quot;" data-bare'
    )
    assert file == File(
        "x.whl",
        "https://index.example/simple/torch/x.whl",
        requires_python=">=3.8,<4",
        gpg_sig=True,
        size=12,
        upload_time="2026-01-02T03:04:05Z",
        provenance="https://index.example/p?x=1&y",
        extra={"rel": "internal", "data-new": '"a"', "data-bare": None},
    )


@pytest.mark.parametrize("size", ["-1", "many", "", "1e3", "²", "9" * 5000])
def test_parse__html_bad_size(size: str) -> None:
    """A size that is no number is not said."""
    assert link(f'href="x.whl" data-size="{size}"').size is None


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-02 03:04",
        "2026-01-02T03:04:05",
        "2026-13-02T03:04:05Z",
        "Jan 2 2026",
        "1767323045",
        "2026-01-02T03:04:05.1234567Z",
    ],
)
def test_parse__html_other_time(time: str) -> None:
    """A time that is not written as in JSON stays an attribute: in JSON it would spoil the whole page."""
    file = link(f'href="x.whl" data-upload-time="{time}"')
    assert file.upload_time is None
    assert file.extra == {"data-upload-time": time}


@pytest.mark.parametrize("time", ["2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05+01:00"])
def test_parse__html_time(time: str) -> None:
    """A time that is written as in JSON is known as one."""
    file = link(f'href="x.whl" data-upload-time="{time}"')
    assert file.upload_time == time
    assert not file.extra


def test_parse__html_head() -> None:
    """The metas of the standard, and those that are kept for it."""
    found = html(
        head='<meta name="pypi:repository-version" content="1.4">'
        '<meta name="pypi:project-status" content="quarantined">'
        '<meta name="pypi:project-status-reason" content="a &amp; b">'
        '<meta name="PyPI:tracks" content="https://x.example"><meta name="generator" content="x">'
        '<meta name="pypi:tracks" content="https://y.example">'
    )
    assert found == Page(
        "torch",
        (),
        True,
        "1.4",
        None,
        "quarantined",
        "a & b",
        meta={"pypi:tracks": ("https://x.example", "https://y.example")},
    )


def test_parse__html_links_left_out() -> None:
    """Links that lead to no file are left out, and all others kept, wheels or not."""
    hrefs = [
        "mailto:a@b.example", "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "file:///etc/passwd",
        "git+file:///srv/x@1#egg=x-1", "about:blank", "https://[::1/x.whl", "../", "?C=N;O=D", "#top", "", "../other/",
        "x.whl", "x.tar.gz", "x.tar.gz.asc", "x-1.0-variants.json", "x.egg", "README",
    ]  # fmt: skip
    found = html(*(f'<a href="{href}">x</a>' for href in hrefs), '<a name="x">no link</a>')
    assert [file.filename for file in found.files] == hrefs[-6:]


def test_parse__html_base() -> None:
    """Links are resolved against `<base>`, which itself is against the page's address."""
    found = html('<a href="x.whl">x</a>', head='<base target="_top"><base href="../../files/"><base href="/no/">')
    assert found.files[0].url == "https://index.example/files/x.whl"


@pytest.mark.parametrize(
    "body",
    [
        '<meta name="pypi:repository-version" content="1.0">',
        "<title>Links for torch</title>",
        "<h1>Index of /torch</h1>",
        # Empty folders, as servers list them
        "<title>Directory listing for /torch/</title><h1>Directory listing for /torch/</h1><hr><ul></ul><hr>",
        '<head><title>Index of /torch/</title></head><h1>Index of /torch/</h1><hr><pre><a href="../">../</a></pre><hr>',
        "<title>Index of /torch</title><h1>Index of /torch</h1><table><tr><th>Name</th></tr></table>",
        "<title>Directory: /torch/</title><h1>Directory: /torch/</h1>",
        "<title>Files within torch/</title><ul></ul>",
        '<title>torch</title><h1><a href="../">/</a></h1><div id="summary"><b>0</b> directories<b>0</b> files</div>',
        "<pre>\n</pre>\n",
        '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n</pre>\n',
        '<h1>Links for torch</h1><a href="../">up</a>',
    ],
)
def test_parse__html_empty(body: str) -> None:
    """A page without a file that says what it is, is a project without files."""
    found = parse(body.encode(), HTML, URL)
    assert ("torch", ()) == (found.name, found.files)


@pytest.mark.parametrize(
    "body", ["", "<h1>Welcome</h1>", "<title>503</title><p>Links for nobody", '<a href="/">home</a>']
)
def test_parse__html_nothing(body: str) -> None:
    """A page without a file that says nothing of an index is a failure of upstream, never an empty project."""
    with pytest.raises(UpstreamBroken, match="index"):
        parse(body.encode(), HTML, URL)


def test_parse__html_listing() -> None:
    """A directory listing, with links to sort it, is a page too."""
    body = (
        b'<html><h1>Index of /x</h1><a href="?C=N;O=D">Name</a><a href="/rocm/">Parent Directory</a>'
        b'<a href="x.whl">x..&gt;</a>'
    )
    page = parse(body, "text/html;charset=ISO-8859-1", "https://files.example/rocm/manylinux/")
    assert [file.url for file in page.files] == ["https://files.example/rocm/manylinux/x.whl"]
    assert page.name == "manylinux"


def test_parse__html_folders() -> None:
    """Folders that a page links to are known, each once, without query and fragment; files beside them are files."""
    found = html(
        '<a href="cu126/">x</a>', '<a href="a%20b/#x">x</a>', '<a href="cu126/?C=N;O=D">x</a>', '<a href="../">up</a>',
        '<a href="?C=M">sort</a>', '<a href="mailto:a@b/">x</a>', '<a href="https://other.example/">x</a>',
        '<a href="x-1.0.tar.gz">x</a>',
    )  # fmt: skip
    assert (
        "https://index.example/simple/torch/cu126/",
        "https://index.example/simple/torch/a%20b/",
        "https://index.example/simple/",
        "https://other.example/",
    ) == found.folders
    assert ["x-1.0.tar.gz"] == [file.filename for file in found.files]


def test_parse__html_list_of_folders() -> None:
    """A page of nothing but the folders beside it needs no heading."""
    assert ("https://index.example/simple/torch/a/",) == html('<a href="a/">a</a>').folders


@pytest.mark.parametrize(
    "href",
    [
        ".", "./", "?again", "/", "../", "/login/", "https://portal.example/", "a/../../x/",
        "/login", "/login?next=x", "https://portal.example/start", "terms.html", "style.css", "/logo.png#top",
    ],
)  # fmt: skip
def test_parse__html_links_that_list_nothing(href: str) -> None:
    """A page that links to itself, upward or elsewhere says by that of no file that it is gone."""
    with pytest.raises(UpstreamBroken):
        html(f'<a href="{href}">Try again</a>')


@pytest.mark.parametrize(
    "href", ["a-1.0.tar.gz", f"/download?id=7#sha256={HEX}", "git+https://git.example/a#egg=a", "/get?file=a-1.0.zip"]
)
def test_parse__html_link_of_an_index(href: str) -> None:
    """One link to something that can be installed is enough, whatever the page says of itself."""
    assert 2 == len(html(f'<a href="/login">Sign in</a><a href="{href}">a</a>').files)


@pytest.mark.parametrize(
    ("links", "root"),
    [
        (("/simple/a/", "/simple/b/"), True),
        (("../a/",), True),
        (("../",), False),  # a folder that is empty now
        (("a/",), False),
        (("/simple/torch/",), False),
        (("/other/a/",), False),
        (("/simple/a/", "torch-1.0.zip"), False),
    ],
)
def test_parse__html_root(links: tuple[str, ...], root: bool) -> None:
    """A page without files whose folders lie beside its own is the list of projects."""
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    assert root is html(f"<title>Simple index</title>{anchors}").root


def test_parse__html_charset() -> None:
    """The character set is the header's, else the page's, else UTF-8."""
    latin, wide = '<a href="é.whl">'.encode("latin-1"), "﻿<a href='é.whl'>".encode()
    pages = [
        parse(latin, "text/html; charset=iso-8859-1", URL),
        parse(b'<meta charset="latin-1">' + latin, "text/html", URL),
        parse(wide, "text/html", URL),
        parse(wide, "text/html; charset=unheard-of", URL),
        parse(wide, "text/html; charset=zlib", URL),
    ]
    assert ["é.whl"] * len(pages) == [page.files[0].filename for page in pages]


def test_parse__html_login_page() -> None:
    """A login page in place of the index is a failure of upstream, never an empty project."""
    with pytest.raises(UpstreamBroken, match="login"):
        html('<form><input type="password"></form><a href="/terms">Terms</a>')


def test_parse__html_flat_page_name() -> None:
    """A flat page is named by its file, and a page at the root has a name too."""
    body = b'<a href="x.whl">x.whl</a>'
    names = [parse(body, HTML, f"https://files.example/{path}").name for path in ("torch_stable.html", "")]
    assert names == ["torch-stable", "packages"]


# ---------------------------------------------------------------------- JSON


def test_parse__json_file() -> None:
    """All that is known of a file has its place, and all else is kept."""
    file = entry(
        url="https://files.example/x%2Bcpu.whl#no",
        filename="x+cpu.whl",
        hashes={"md5": "a" * 32, "sha256": HEX, "blake2b": "00"},
        requires_python=">=3.8",
        core_metadata={"sha256": OTHER},
        data_dist_info_metadata={"sha256": HEX},
        yanked="why",
        gpg_sig=False,
        size=12,
        upload_time="2026-01-02T03:04:05.000000Z",
        provenance="https://index.example/p",
        new=[1, {"a": None}],
    )
    assert file == File(
        "x+cpu.whl",
        "https://files.example/x%2Bcpu.whl",
        (Digest("sha256", HEX), Digest("md5", "a" * 32)),
        {"blake2b": "00"},
        ">=3.8",
        Digest("sha256", OTHER),
        "why",
        gpg_sig=False,
        size=12,
        upload_time="2026-01-02T03:04:05.000000Z",
        provenance="https://index.example/p",
        extra={"new": [1, {"a": None}]},
    )


@pytest.mark.parametrize(
    ("keys", "core_metadata"),
    [
        ({}, None),
        ({"core_metadata": None}, None),
        ({"core_metadata": True}, True),
        ({"core_metadata": False, "dist_info_metadata": True}, False),
        ({"dist_info_metadata": {"sha256": HEX}}, Digest("sha256", HEX)),
        ({"data_dist_info_metadata": {"sha256": HEX}}, Digest("sha256", HEX)),
        ({"data_dist_info_metadata": False}, False),
        ({"core_metadata": {"md5": HEX[:32], "sha256": HEX}}, Digest("sha256", HEX)),
        ({"core_metadata": {"blake2b": "00"}}, True),
    ],
)
def test_parse__json_core_metadata(keys: dict[str, Any], *, core_metadata: bool | Digest | None) -> None:
    """All three spellings are known, the new one counts first (PEP 714)."""
    assert core_metadata == entry(**keys).core_metadata


def test_parse__json_wrong_types() -> None:
    """A value of a wrong type is as one that was not said."""
    file = entry(hashes=[], requires_python=3, yanked=0, gpg_sig="no", size=True, upload_time=1, provenance=[])
    assert file == entry()


@pytest.mark.parametrize(
    ("value", "yanked"),
    [(True, True), (False, False), ("bad", "bad"), ("", False), (None, False), (1, True), (0, False), (["bad"], True)],
)
def test_parse__json_yanked(value: object, *, yanked: bool | str) -> None:
    """What is true is yanked (PEP 691), whatever it is: pip reads it so."""
    assert entry(yanked=value).yanked == yanked


def test_parse__json_items_left_out() -> None:
    """Items that lead nowhere are left out."""
    items = [1, None, {}, {"url": 1}, {"url": "javascript:x.whl"}, {"url": "../"}, {"url": "y.whl"}]
    assert [file.filename for file in page(files=items).files] == ["y.whl"]


@pytest.mark.parametrize(
    ("url", "filename", "expected"),
    [
        ("/download?id=1", "x-1.0.tar.gz", "x-1.0.tar.gz"),
        ("/download/", "x-1.0.tar.gz", "x-1.0.tar.gz"),
        ("/y.whl", "../x.whl", "y.whl"),
        ("/y.whl", "a\\x.whl", "y.whl"),
        ("/y.whl", "..", "y.whl"),
        ("/y.whl", "a\nb", "y.whl"),
        ("/y.whl", "x" * 256, "y.whl"),
        ("/y.whl", "", "y.whl"),
    ],
)
def test_parse__json_filename(url: str, filename: str, expected: str) -> None:
    """The name that the page gives counts, wherever the address ends, unless it could be no file's."""
    assert expected == entry(url=url, filename=filename).filename


def test_parse__json_hash_in_the_address() -> None:
    """A hash that stands in the fragment counts where none stands in its place."""
    assert (Digest("sha256", HEX),) == entry(url=f"/x.whl#sha256={HEX}", hashes={}).digests
    assert (Digest("sha256", OTHER),) == entry(url=f"/x.whl#sha256={HEX}", hashes={"sha256": OTHER}).digests


def test_parse__json_top() -> None:
    """Keys of the page that are not known are kept, and so is the status where it was."""
    status = {"status": "archived", "reason": "old", "more": 1}
    found = page(
        meta={"api-version": "1.9", "_last-serial": 7, "new": {}},
        versions=["1.0", "2.0"],
        **{"project-status": status, "x": [1]},
    )
    assert found == Page(
        "torch", (), False, "1.9", ("1.0", "2.0"), "archived", "old",
        meta={"_last-serial": 7, "new": {}}, extra={"project-status": status, "x": [1]},
    )  # fmt: skip


def test_parse__json_status_in_meta() -> None:
    """The place that the standard's own example has for the status is read too."""
    assert page(meta={"api-version": "1.4", "project-status": "archived"}).status == "archived"


def test_parse__json_name_missing() -> None:
    """Without a name the page's address tells it."""
    assert parse(b'{"files": []}', JSON, URL) == Page("torch", (), html=False)


def test_parse__json_root() -> None:
    """The root of an index lists projects; each has its page beside it."""
    names = [{"name": "Zope.Interface", "_last-serial": 3}, {"name": "a"}, {"name": 1}, "b", {"name": "../x"}]
    found = page(files=None, projects=names)
    assert found.root
    assert (f"{URL}zope-interface/", f"{URL}a/") == found.folders
    assert () == parse(b'{"projects": []}', JSON, URL).folders


# ---------------------------------------------------------------------- what is no index page


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", JSON),
        (b"{", JSON),
        (b"[]", JSON),
        (b"{}", JSON),
        (b'{"files": {}}', JSON),
        (b'{"projects": {}}', JSON),
        (b'{"files": ["\xff"]}', JSON),
        (b"[" * 100_000, JSON),
        (b"<!DOCTYPE html><html></html>", JSON),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "application/xml"),
        (b"PK\x03\x04", "binary/octet-stream"),
        (b"", ""),
        (b'{"files": [], "meta": {"api-version": "2.0"}}', JSON),
        (b'<meta name="pypi:repository-version" content="2.0">', "text/html"),
    ],
)
def test_parse__no_index_page(body: bytes, content_type: str) -> None:
    """What is no index page is a failure of upstream."""
    with pytest.raises(UpstreamBroken):
        parse(body, content_type, URL)


@pytest.mark.parametrize("content_type", ["", "binary/octet-stream", "text/plain"])
def test_parse__type_that_says_nothing(content_type: str) -> None:
    """The first character of the body tells what the type does not."""
    assert parse(b'\n{"files": [{"url": "x.whl"}]}', content_type, URL).files[0].filename == "x.whl"
    for start in (b"<!doctype html>", b"  <HTML>", b"<!-- x --><html>", b"\xef\xbb\xbf<body>"):
        assert parse(start + b'<a href="x.whl">', content_type, URL).files[0].filename == "x.whl"


def test_parse__version_unreadable() -> None:
    """A version that cannot be read counts as none."""
    assert [None] * 3 == [page(meta={"api-version": version}).api_version for version in ("1", "one", "1.99999")]
