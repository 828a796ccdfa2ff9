"""`proxy.python.negotiation`."""

from __future__ import annotations

import pytest

from proxy.python.negotiation import UPSTREAM_ACCEPT, Format, choose, named

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, Format.TEXT),
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html", Format.TEXT),
        ("text/*", Format.TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.TEXT),
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", Format.JSON),
        (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", Format.JSON),
        (f"{JSON}, */*;q=0.1", Format.JSON),
        (JSON.upper(), Format.JSON),
        (f"{HTML}, text/html;q=0.5", Format.HTML),
        (f"text/html, {JSON};q=0.5", Format.TEXT),
        (f"text/html, {HTML}, {JSON}", Format.JSON),
        (f"{JSON};q=0, {HTML};q=0.1", Format.HTML),
        ("application/*", Format.JSON),
        (f"{JSON};q=0, application/*", Format.HTML),
        (f"{JSON};q=0.2, */*", Format.TEXT),
        (f"{JSON};q=much, {HTML};q=0.1", Format.HTML),
        (f"{JSON};q=nan, {HTML};q=0.1", Format.HTML),
        ("application/vnd.pypi.simple.latest+json", Format.JSON),
        ("application/vnd.pypi.simple.latest+html", Format.HTML),
        (f"{JSON};profile=x;q=0.5, text/html;level=1;q=0.4", Format.JSON),
        ("application/json", Format.TEXT),
        ("image/png", Format.TEXT),
        (", ;q=1,", Format.TEXT),
    ],
)
def test_choose__accept(accept: str | None, expected: Format) -> None:
    """The form that the client likes best; HTML where it says nothing, or nothing that exists."""
    assert expected == choose(accept, None)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (JSON, Format.JSON),
        (JSON.replace("+", " "), Format.JSON),
        ("application/vnd.pypi.simple.latest html", Format.HTML),
        ("text/html", Format.TEXT),
        ("image/png", Format.HTML),
        ("", Format.HTML),
    ],
)
def test_choose__format(wanted: str, expected: Format) -> None:
    """`?format=` wins over the header, unless it names nothing that exists."""
    assert expected == choose(HTML, wanted)


@pytest.mark.parametrize(("wanted", "expected"), [(JSON, Format.JSON), ("image/png", None), ("", None), (None, None)])
def test_named__format(wanted: str | None, expected: Format | None) -> None:
    """Only a form that exists is named."""
    assert expected == named(wanted)


def test_format__content_type() -> None:
    """`text/html` says its character set; the other two have theirs by definition."""
    assert [JSON, HTML, "text/html; charset=utf-8"] == [form.content_type for form in Format]


def test_upstream_accept__order() -> None:
    """Upstream is asked for JSON before all, and takes HTML for an answer."""
    assert choose(UPSTREAM_ACCEPT, None) is Format.JSON
    assert "text/html" in UPSTREAM_ACCEPT
