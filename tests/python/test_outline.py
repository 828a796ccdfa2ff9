"""An outline of a page says of each name what the page says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Digest, Entry, Validator
from proxy.python import outline, parsed_pages
from proxy.python.outline import OutlineFacts
from proxy.python.page import File, Page
from proxy.python.parsed_page import ParsedPage

HEX = "0123456789abcdef" * 4
URL = "https://index.example/simple/demo/"
KEYS = [
    "core-metadata",
    "data-dist-info-metadata",
    "dist-info-metadata",
    "requires-python",
    "yanked",
    "gpg-sig",
    "size",
]
KEYS += ["upload-time", "provenance", "x-odd"]
ABSENT = ["", "demo-9.9.tar.gz", "\ud800", "é", "demo-1.0.tar.gz "]


def parsed(body: bytes, content_type: str, project: str = "demo") -> ParsedPage:
    """A page as it is parsed when it comes."""
    entry = Entry(f"page:pypi:{project}:x/", URL, Digest("sha256", HEX), 0, content_type, Validator(), 0, 0)
    return parsed_pages.parsed(entry, body)


def looked_up(page: ParsedPage, *names: str) -> dict[str, list[File]]:
    """What the page's outline says of these names."""
    facts, body = outline.encode(page)

    def read(offset: int, size: int) -> bytes:
        found = body[offset : offset + size]
        assert size == len(found)
        return found

    return outline.look_up(read, facts, names)


names = st.sampled_from(
    [f"demo-{number}.0{ending}" for number in range(4) for ending in (".tar.gz", "-py3-none-any.whl")]
    + ["other-1.0.tar.gz", "DEMO_1-1.zip", "a b.whl", "é.whl", "README", "demo-1.0+cu126-py3-none-any.whl"]
)
hashes = st.sampled_from([{"sha256": HEX}, {"sha512": "a" * 128, "sha256": HEX}, {"md5": "0" * 32}, {}, {"crc": [1]}])
values = st.none() | st.booleans() | st.text(max_size=4) | st.sampled_from([{"sha256": HEX}, 1.5, 1, -1, 2**63, [{}]])
keys = st.dictionaries(
    st.sampled_from(KEYS),
    values,
)
usual = st.just({"core-metadata": {"sha256": HEX}, "requires-python": ">=3.9", "size": 7, "yanked": False})
links = st.builds(
    lambda name, front, fragment, hashes, keys: (
        keys | {"filename": name, "url": f"{front}{name}{fragment}", "hashes": hashes}
    ),
    names,
    st.sampled_from(
        ["https://files.example/a/", "../../packages/", "git+https://git.example/", "", "ftp://f.example/"]
    ),
    st.sampled_from(["", "?sig=1", "#egg=demo", "#subdirectory=a&egg=demo"]),
    hashes,
    keys | usual,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(links, max_size=60), st.sampled_from(["demo", "other", ""]))
def test_look_up__is_what_a_page_of_json_says(files: list[dict[str, Any]], project: str) -> None:
    """Names of several files, links that are not plain, keys that the standard does not have: all as parsed."""
    body = json.dumps({"meta": {"api-version": "1.1"}, "name": "demo", "files": files}).encode()
    page = parsed(body, "application/json", project)

    asked = [*page.by_name, *ABSENT]
    assert {name: list(page.by_name.get(name, [])) for name in asked} == looked_up(page, *asked)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(names, st.sampled_from(["", "#sha256=" + HEX, "#egg=demo", "?a=1#md5=" + "0" * 32])), max_size=40
    )
)
def test_look_up__is_what_a_page_of_html_says(files: list[tuple[str, str]]) -> None:
    """Fragments and attributes that the standard does not have are those of the page."""
    listed = "".join(f'<a href="{name}{rest}" data-odd="{rest}" data-yanked>{name}</a>' for name, rest in files)
    page = parsed(f"<!DOCTYPE html><title>Links for demo</title>{listed}".encode(), "text/html")

    asked = [*page.by_name, *ABSENT]
    assert {name: list(page.by_name.get(name, [])) for name in asked} == looked_up(page, *asked)


@pytest.mark.parametrize("count", [0, 1, 16, 17, 3000])
def test_look_up__reads_little(count: int) -> None:
    """However many links a page has, two short reads find one."""
    files = [
        File(f"demo-{number}.tar.gz", f"https://files.example/{number}", project="demo") for number in range(count)
    ]
    facts, body = outline.encode(ParsedPage.of(Page("demo", files, html=True)))
    sizes: list[int] = []

    def read(offset: int, size: int) -> bytes:
        sizes.append(size)
        return body[offset : offset + size]

    found = outline.look_up(read, facts, [f"demo-{count - 1}.tar.gz"])
    assert [files[-1:]] == list(found.values())
    assert (2, True) == (len(sizes), sum(sizes) < 16_000)


def test_encode__says_what_the_page_is_in_sum() -> None:
    """The summary needs no links."""
    page = parsed(
        b'<meta name="pypi:project-status" content="quarantined"><a href="https://a.example/x-1.whl">x</a>', "text/html"
    )
    facts, _ = outline.encode(page)

    assert (page.summary, True) == (facts.summary, facts.quarantined)


@pytest.mark.parametrize(
    "odd",
    [
        {"extra": {"x": 1 << 80}},
        {"yanked": "\ud800"},
        {"yanked": "x" * 70_000},
    ],
    ids=["number", "text", "length"],
)
def test_encode__what_cannot_be_written(odd: dict[str, Any]) -> None:
    """Such a page has an outline without links, and is parsed: it is no slower than before, and not wrong."""
    file = File("demo-1.0.tar.gz", "https://files.example/demo-1.0.tar.gz", **odd)
    page = ParsedPage.of(Page("demo", [file], html=False))

    assert OutlineFacts(hashed=False, bare=(), quarantined=False, groups=0) == outline.encode(page)[0]
