"""`proxy.python.parent_pages`: the pages of a parent cache in upstream's terms."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BadTarget
from proxy.model import Site
from proxy.python import addresses, urls
from proxy.python.links import PageLinks
from proxy.python.parent_pages import in_upstream_terms

HUB = "http://hub.example:3142"
SITE = Site("corp", "https://index.example/base/", "simple/", 600.0, parent=HUB)
PAGE = "https://index.example/base/simple/demo/"
JSON, HTML = "application/vnd.pypi.simple.v1+json", "text/html; charset=utf-8"

LINKS = [
    ("../../~files/files.example/p/demo-1.0.zip", "https://files.example/p/demo-1.0.zip"),
    ("../../~files/files.example:80/p/demo-1.0.zip", "http://files.example/p/demo-1.0.zip"),
    ("../../~files/files.example:8443/demo-1.0%2Bcpu.zip", "https://files.example:8443/demo-1.0%2Bcpu.zip"),
    ("../../~files/files.example/p/demo-1.0.zip#egg=demo", "https://files.example/p/demo-1.0.zip#egg=demo"),
    ("../../packages/demo-1.0.zip", "../../packages/demo-1.0.zip"),
    ("demo-1.0.zip", "demo-1.0.zip"),
    ("../../%2Bf/ab/demo-1.0.zip", "https://index.example/base/%2Bf/ab/demo-1.0.zip"),
    ("../../~files/files.example/%2Bf/demo-1.0.zip", "https://files.example/%2Bf/demo-1.0.zip"),
    ("/corp/~files/files.example/p/demo-1.0.zip", "https://files.example/p/demo-1.0.zip"),
    (f"{HUB}/corp/~files/files.example:80/p/demo-1.0.zip", "http://files.example/p/demo-1.0.zip"),
    (f"{HUB}/corp/~files/files.example/%2Bf/demo-1.0.zip", "https://files.example/%2Bf/demo-1.0.zip"),
    (f"{HUB}/corp/packages/demo-1.0.zip#egg=demo", "https://index.example/base/packages/demo-1.0.zip#egg=demo"),
    (f"{HUB}/corp/%2Bf/ab/demo-1.0.zip", "https://index.example/base/%2Bf/ab/demo-1.0.zip"),
    (f"{HUB}/corp/get/%2Bname/demo-1.0.zip", f"{HUB}/corp/get/%2Bname/demo-1.0.zip"),
    ("git+https://forge.example/demo", "git+https://forge.example/demo"),
    ("../../get/%2Bname/demo-1.0.zip", f"{HUB}/corp/get/%2Bname/demo-1.0.zip"),
    (
        "../../~files/forge.example/%2Bof/demo/1.0.zip#egg=demo-1.0",
        f"{HUB}/corp/~files/forge.example/%2Bof/demo/1.0.zip#egg=demo-1.0",
    ),
]


@pytest.mark.parametrize(("link", "upstream"), LINKS)
def test_json(link: str, upstream: str) -> None:
    """A link leads to where upstream has the file; with a mark only the parent knows that."""
    page = {"meta": {"api-version": "1.1"}, "files": [{"filename": "demo-1.0.zip", "url": link, "size": 3}]}
    made = msgspec.json.decode(in_upstream_terms(msgspec.json.encode(page), JSON, PAGE, SITE))
    assert page | {"files": [{"filename": "demo-1.0.zip", "url": upstream, "size": 3}]} == made


@pytest.mark.parametrize(("link", "upstream"), LINKS)
def test_html(link: str, upstream: str) -> None:
    """The same, and nothing else of the page changes, whatever bytes it has."""
    page = '<meta name="x" content="1">\n<a href="{}" data-x="~files">demo \udcff</a>'
    made = in_upstream_terms(page.format(link).encode(errors="surrogateescape"), HTML, PAGE, SITE)
    assert page.format(upstream).encode(errors="surrogateescape") == made


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"files": [1]}', b'{"files": [{"url": 1}]}', b"{"])
def test_json__not_a_page(body: bytes) -> None:
    """It is as it came: whoever parses it says what is wrong."""
    assert body == in_upstream_terms(body, JSON, PAGE, SITE)


@settings(deadline=None)
@given(
    st.sampled_from(["https://files.example", "http://files.example", "https://index.example/base"]),
    st.lists(st.text(st.sampled_from("ab+%~. -_2F"), max_size=5), max_size=4),
    st.sampled_from(["demo-1.0.zip", "demo-1.0+cpu-py3-none-any.whl", "1.0.zip", "download"]),
    st.sampled_from(["", HUB]),
)
def test_any_link__stays_the_same_file(front: str, folders: list[str], name: str, base: str) -> None:
    """What the parent writes for a link leads, read again, to the link; or to the parent's own path for it."""
    url = "/".join((front, *folders, name))
    try:
        scheme, host, path = urls.dissect(url)
        url = urls.absolute(scheme, host, path)
        target = urls.locate_file(url, SITE, name, "demo")
        link = PageLinks(urls.locate(PAGE, SITE), SITE, base).to(url, name, "demo")
    except BadTarget:
        return
    body = msgspec.json.encode({"files": [{"url": link}]})
    [file] = msgspec.json.decode(in_upstream_terms(body, JSON, PAGE, SITE))["files"]
    found = file["url"] if "://" in file["url"] else f"https://index.example/base/{file['url'].removeprefix('../../')}"
    assert found in {url, HUB + addresses.format_path(target)}
    if addresses.plain(path.removeprefix("base/")):
        marked = addresses.unmarked(target.path)
        assert (found == url) == (marked.project is None and marked.name is None and not marked.file)
