"""How the edge reads an address. What it does with a request is held by the flows."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.errors import BadTarget, NotAllowed
from proxy.web.edge import _format_of, _origin_form


class Transport:
    """A connection to port 3142."""

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 3142) if name == "sockname" else None


def request(target: str) -> web.BaseRequest:
    """A GET of this target, as it stands in the request line."""
    return make_mocked_request("GET", target, transport=Transport())


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/pypi/", ("/pypi/", "")),
        ("/pypi/?format=x", ("/pypi/", "format=x")),
        ("/pypi/?a?b", ("/pypi/", "a?b")),
        ("http://any.example:3142/pypi/?q", ("/pypi/", "q")),
        ("http://any.example:3142", ("/", "")),
        ("HTTP://any.example:3142/%2e", ("/%2e", "")),
    ],
)
def test_origin_form(target: str, expected: tuple[str, str]) -> None:
    """Path and query, undecoded, in either form."""
    assert expected == _origin_form(request(target))


@pytest.mark.parametrize("target", ["http://any.example/", "https://any.example:3142/", "http://any.example:80/"])
def test_origin_form__of_others(target: str) -> None:
    """Another port is another server."""
    with pytest.raises(NotAllowed):
        _origin_form(request(target))


@pytest.mark.parametrize("target", ["/a#b", "*", "a/b", "http:///a", "http:a"])
def test_origin_form__malformed(target: str) -> None:
    """What is neither form is no address."""
    with pytest.raises(BadTarget):
        _origin_form(request(target))


@pytest.mark.parametrize(
    ("query", "expected"),
    [("format=a", "a"), ("x=1&format=a%2Bb", "a+b"), ("format=a&format=b", "a"), ("formats=a", None)],
)
def test_format_of(query: str, expected: str | None) -> None:
    """The first `format` counts."""
    assert expected == _format_of(query)


def test_format_of__too_many_fields() -> None:
    """A query is not read for ever."""
    with pytest.raises(BadTarget):
        _format_of("&".join(["a=1"] * 100))
