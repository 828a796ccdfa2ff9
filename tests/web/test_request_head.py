"""A request head as a query: ranges, conditions, and which of the clients of a connection sends it."""

from __future__ import annotations

import sys

import pytest
from aiohttp import HttpVersion
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.errors import BadTarget
from proxy.model import Client, Query, Span
from proxy.python.metadata import MOST_WAITS
from proxy.user_agent import DOCKER_BUILD, UNKNOWN, UserAgent
from proxy.web import request_head
from proxy.web.request_head import (
    Clients,
    agent_of,
    authorization,
    came_straight,
    is_shared,
    name_of,
    parse_range,
    query_of,
)


def fields(**headers: str) -> CIMultiDictProxy[str]:
    """Header fields."""
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))


def test_name_of() -> None:
    """Clients behind one address differ by the fields of a proxy, or by their user agents."""
    asked = [
        fields(),
        fields(User_Agent="apt/2.6"),
        fields(User_Agent="apt/3.0"),
        fields(X_Forwarded_For="192.0.2.7"),
        fields(X_Forwarded_For="192.0.2.8"),
        fields(Forwarded="for=192.0.2.7"),
    ]

    assert len(asked) == len({name_of("127.0.0.1", headers) for headers in asked})
    assert name_of("127.0.0.1", asked[1]) == name_of("127.0.0.1", fields(user_agent="apt/2.6"))
    assert 2000 > len(name_of("127.0.0.1", fields(User_Agent="x" * 8000)))


def test_is_shared() -> None:
    """A proxy on the way says so."""
    assert [False, True, True, True, False] == [
        is_shared(fields(**{name: "x"})) for name in ("Host", "Via", "x_forwarded_for", "Forwarded", "User_Agent")
    ]


@pytest.mark.parametrize(
    ("version", "headers", "straight"),
    [
        ((1, 1), {"User-Agent": "uv/0.9", "Accept": "*/*"}, False),  # nginx from 1.29.7 on asks like this, too
        ((1, 1), {"Connection": "keep-alive"}, True),  # pip
        ((1, 0), {"Connection": "close"}, False),  # nginx
        ((1, 0), {}, False),
        ((1, 1), {"Connection": "Close"}, False),  # nginx with proxy_http_version 1.1
        ((1, 1), {"Connection": "keep-alive", "X-Forwarded-For": "192.0.2.7"}, False),  # Apache
        ((1, 1), {"Via": "1.1 squid"}, False),
        ((1, 1), {"Forwarded": "for=192.0.2.7"}, False),
        ((1, 1), {"X-Real-IP": "192.0.2.7"}, False),
        ((1, 1), {"X-Forwarded-Proto": "https"}, False),
        ((1, 1), {"X-Forwarded-Host": "cache.example"}, False),
    ],
)
def test_came_straight(version: tuple[int, int], headers: dict[str, str], *, straight: bool) -> None:
    """Servers in front are known by what they add, or by how they ask."""
    request = make_mocked_request("GET", "/", headers=headers, version=HttpVersion(*version))
    assert came_straight(request) is straight


def test_clients__by_name() -> None:
    """Each client has its own memory; the ones that asked long ago are forgotten."""
    clients = Clients()
    one, two = fields(User_Agent="one"), fields(User_Agent="two", Via="1.1 proxy")
    clients.client("192.0.2.1", one).handed_out["suite"] = "a"
    clients.client("192.0.2.1", two).handed_out["suite"] = "b"

    assert ["a", "b"] == [clients.client("192.0.2.1", headers).handed_out["suite"] for headers in (one, two)]
    assert [False, True] == [clients.client("192.0.2.1", headers).shared for headers in (one, two)]
    for number in range(request_head._CLIENTS - 1):
        clients.client(str(number), one)
    assert {"suite": "b"} == clients.client("192.0.2.1", two).handed_out
    assert {} == clients.client("192.0.2.1", one).handed_out


def test_agent_of() -> None:
    """The program, and a build by the name that the cache has in builds, with and without a port."""
    asked = [
        fields(User_Agent="pip/24.0", Host="127.0.0.1:3142"),
        fields(User_Agent="pip/24.0", Host="pullthrough:3142"),
        fields(Host="pullthrough"),
        fields(),
    ]
    expected = [
        UserAgent("pip", "24.0"),
        UserAgent("pip", "24.0", DOCKER_BUILD),
        UserAgent("", "", DOCKER_BUILD),
        UNKNOWN,
    ]
    assert expected == [agent_of(headers) for headers in asked]


def test_query_of__everything() -> None:
    """Each header field and parameter has its place."""
    headers = {
        "Host": "cache",
        "Range": "bytes=5-9",
        "If-Range": '"a"',
        "If-None-Match": '"b"',
        "If-Modified-Since": "then",
        "Cache-Control": "max-age=0, No-Cache",
        "Accept": "text/html",
        "Accept-Encoding": "gzip",
        "User-Agent": "pip/26",
        "Authorization": "Basic eA==",
    }
    request = make_mocked_request("GET", "/", headers)

    query = query_of(request, "target", "format=json&waited=3", Client("one"))

    assert query == Query(
        "target",
        span=Span(5, 10),
        if_range='"a"',
        if_none_match='"b"',
        if_modified_since="then",
        no_cache=True,
        accept="text/html",
        accept_encoding="gzip",
        format="json",
        waited=MOST_WAITS,  # not this cache's own spelling
        user_agent="pip/26",
        authorization="Basic eA==",
        client=Client("one"),
    )
    assert "eA==" not in repr(query)


def test_query_of__head() -> None:
    """RFC 9110 §14.2: a range of anything but a GET means nothing."""
    query = query_of(make_mocked_request("HEAD", "/", {"Range": "bytes=9-3"}), None, "waited=3")

    assert (True, None, 3) == (query.head, query.span, query.waited)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-99", Span(0, 100)),
        ("bytes=100-", Span(100)),
        ("bytes=-500", Span(suffix=500)),
        ("Bytes=5-5", Span(5, 6)),
        ("bytes=0-1,5-9", None),
        ("pages=1-2", None),
        ("bytes=000-0099", Span(0, 100)),
        ("bytes=-0000500", Span(suffix=500)),
    ],
)
def test_parse_range__usual_forms(header: str | None, span: Span | None) -> None:
    """One byte range is read; several, or another unit, mean the whole (RFC 9110 §14.2)."""
    assert span == parse_range(header)


@pytest.mark.parametrize(
    "header",
    ["bytes=-", "bytes=9-3", "bytes=a-b", "bytes", "bytes=1-2x", "bytes=" + "9" * 40 + "-3", "bytes=\u0661-2"],
)
def test_parse_range__absurd(header: str) -> None:
    """A malformed range is refused."""
    with pytest.raises(BadTarget):
        parse_range(header)


@given(
    st.one_of(st.integers(0, 300), st.integers(0, 10**30), st.sampled_from([10**17, 10**18, 2**63, 2**64, 10**8000])),
    st.one_of(st.none(), st.integers(0, 300), st.integers(0, 10**30), st.just(10**7000)),
    st.integers(0, 9),
    st.integers(1, 200),
)
def test_parse_range__numbers_of_any_length(first: int, length: int | None, zeros: int, size: int) -> None:
    """Any of them means the same bytes of a file; no number is too long."""
    sys.set_int_max_str_digits(20_000)  # for the test's own texts
    begin, end = f"{first:0>{zeros}}", "" if length is None else f"{first + length}"
    suffix = f"bytes=-{'0' * zeros}{first}"
    sys.set_int_max_str_digits(4300)
    span = parse_range(f"bytes={begin}-{end}")
    assert span is not None
    last = size - 1 if length is None else min(first + length, size - 1)
    assert span.within(size) == ((first, last + 1) if first < size else None)
    tail = parse_range(suffix)
    assert tail is not None
    assert tail.within(size) == ((max(size - first, 0), size) if first else None)


@pytest.mark.parametrize(
    ("span", "meant"),
    [
        (Span(0, 10), (0, 10)),
        (Span(90, 200), (90, 100)),
        (Span(99), (99, 100)),
        (Span(100), None),
        (Span(suffix=5), (95, 100)),
        (Span(suffix=500), (0, 100)),
        (Span(suffix=0), None),
    ],
)
def test_within__hundred_bytes(span: Span, meant: tuple[int, int] | None) -> None:
    """A range is cut to the body; one that begins behind its end cannot be satisfied."""
    assert meant == span.within(100)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["Basic YTpi"], "Basic YTpi"), ([], None), (["Basic YTpi", "Basic Yjpj"], None), (["a\nb"], None), (["ä"], None)],
)
def test_authorization(values: list[str], expected: str | None) -> None:
    """One field, in one line."""
    assert expected == authorization(values)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("format=a", "a"), ("x=1&format=a%2Bb", "a+b"), ("format=a&format=b", "a"), ("formats=a", None)],
)
def test_format_of(query: str, expected: str | None) -> None:
    """The first `format` counts."""
    assert expected == request_head._format_of(query)


def test_format_of__too_many_fields() -> None:
    """A query is not read for ever."""
    with pytest.raises(BadTarget):
        request_head._format_of("&".join(["a=1"] * 100))
