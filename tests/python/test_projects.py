"""`proxy.python.projects`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.python import addresses
from proxy.python.projects import NamesInHtml, NamesInJson, ProjectListRewriter

BASE = "https://index.example/simple/"
LIST = (
    b'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.4"></head><body>\n'
    b'<a href="/simple/a/">a</a>\n<a class="x" href=\'https://index.example/simple/b/\'>b</a>\n'
    b'<A HREF = "//index.example/simple/c.d/">/simple/c.d/</A><a href="e/">e</a><a href="https://other.example/simple/f/">f</a>'
    b'<a href=/simple/g/>g</a><a href="/simpler/h/">h</a><a data-href="/simple/i/">i</a></body></html>'
)
REWRITTEN = (
    b'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.4"></head><body>\n'
    b'<a href="a/">a</a>\n<a class="x" href=\'b/\'>b</a>\n'
    b'<A HREF = "c.d/">/simple/c.d/</A><a href="e/">e</a><a href="https://other.example/simple/f/">f</a>'
    b'<a href=g/>g</a><a href="/simpler/h/">h</a><a data-href="/simple/i/">i</a></body></html>'
)


def rewritten(base: str, *chunks: bytes) -> bytes:
    """A list, come in these chunks, as it is sent on."""
    rewriter = ProjectListRewriter(base)
    return b"".join([*map(rewriter.feed, chunks), rewriter.finish()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096])
def test_feed__chunks(size: int) -> None:
    """However the list is cut, its links become relative, and nothing else changes."""
    assert rewritten(BASE, *(LIST[at : at + size] for at in range(0, len(LIST), size))) == REWRITTEN


def test_feed__base_is_a_path() -> None:
    """With a path alone only root-relative links are the list's own."""
    body = b'<a href="/simple/a/"><a href="https://index.example/simple/b/">'
    assert rewritten("/simple/", body) == b'<a href="a/"><a href="https://index.example/simple/b/">'


@pytest.mark.parametrize("link", [b"/simple//evil.example/", b"/simple/javascript:x", b"/Simple/a/"])
def test_feed__link_kept(link: bytes) -> None:
    """A link that would mean something else without its front keeps it."""
    body = b'<a href="%s">' % link
    assert rewritten(BASE, body) == body


def test_feed__memory_bounded() -> None:
    """A tag that never ends is not held back for ever."""
    rewriter = ProjectListRewriter(BASE)
    given, sent = b"", b""
    for chunk in [b"<a "] + [b"x" * 10_000] * 100:
        given += chunk
        sent += rewriter.feed(chunk)
        assert len(given) - len(sent) <= (64 << 10) + len(chunk)
    assert given == sent + rewriter.finish()


def test_feed__passes_on() -> None:
    """What cannot be the beginning of a tag leaves at once."""
    rewriter = ProjectListRewriter(BASE)
    assert rewriter.feed(b'<a href="/simple/a/">text <a href="/sim') == b'<a href="a/">text '
    assert rewriter.feed(b'ple/b/">') == b'<a href="b/">'
    assert rewriter.finish() == b""


NAMES = st.lists(st.sampled_from(["a", "Zope.Interface", "x_y", "b" * 200, "1"]), max_size=6)


@given(NAMES, st.lists(st.integers(1, 60), max_size=20), st.sampled_from([None, 1]))
def test_names__in_json(names: list[str], cuts: list[int], indent: int | None) -> None:
    """All names are found in order, wherever the chunks are cut, each as often as it is there."""
    projects = [{"_last-serial": 1, "name": name, "x": '"name"'} for name in names]
    body = json.dumps({"meta": {"api-version": "1.1"}, "projects": projects}, indent=indent).encode()
    reader = NamesInJson()
    assert [addresses.normalize(name) for name in names] == [
        name for piece in pieces(body, cuts) for name in reader.feed(piece)
    ]


@given(
    NAMES,
    st.lists(st.integers(1, 60), max_size=20),
    st.sampled_from(["", "./", "/simple/", BASE, "//index.example/simple/"]),
)
def test_names__in_html(names: list[str], cuts: list[int], front: str) -> None:
    """The same of links, whose other attributes and texts are no names."""
    rows = "".join(f'<a class="c" href="{front}{name}/" title=\'href="no/"\'>text</a>\n' for name in names)
    reader = NamesInHtml(BASE)
    body = f'<html><a href="../">up</a><a href="https://other.example/simple/o/">o</a>{rows}</html>'.encode()
    assert [addresses.normalize(name) for name in names] == [
        name for piece in pieces(body, cuts) for name in reader.feed(piece)
    ]


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    """A body in pieces of these sizes, and the rest."""
    made, at = [], 0
    for size in cuts:
        made.append(body[at : at + size])
        at += size
    return [*made, body[at:]]
