"""JSON of a page in pieces comes to the same as in one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from proxy.errors import UpstreamBroken
from proxy.python import json_pieces
from proxy.python.json_pieces import NOT_JSON, cut
from proxy.python.parsing import parse

FILES = [{"filename": f"demo-1.{number}.tar.gz", "url": f"demo-1.{number}.tar.gz"} for number in range(50)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are so short that each page has several."""
    monkeypatch.setattr(json_pieces, "_PIECE", 100)


def joined(body: bytes) -> Any:
    """The page put together again; None if it is to be decoded as a whole."""
    page = cut(body)
    if page is None:
        return None
    try:
        pieces = [msgspec.json.decode(piece) for piece in page.pieces()]
    except NOT_JSON:
        return None
    return page.top | {"files": [file for piece in pieces for file in piece]}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : "), ("\n,\n", ":\t")])
@pytest.mark.parametrize("last", [{}, {"versions": ["1.0", "]"]}, {"more": [], "deep": {"list": [1, [2]]}}])
def test_pieces__come_to_the_page(separators: tuple[str, str], last: dict[str, Any]) -> None:
    """However it is written, and whatever comes before and behind the list."""
    page = {"meta": {"api-version": "1.4", "x": '"files":['}, "files": FILES} | last
    body = json.dumps(page, separators=separators).encode()
    found = cut(body)

    assert page == joined(body)
    assert found is not None
    assert len(list(found.pieces())) > 10
    assert max(map(len, found.pieces())) < 300


def test_pieces__of_an_indented_page() -> None:
    """Spaces and lines between files are no part of a piece."""
    page = {"files": FILES, "name": "demo"}
    assert page == joined(json.dumps(page, indent=4).encode())


@pytest.mark.parametrize(
    "file",
    [
        {"x": "},{" * 200},
        {"x": '"files":[{' * 50 + "}]" * 50},
        {"x": [{"y": 1}, {"y": 2}] * 50},
        {"x": [{"y": [{"z": 1}]}] * 50},
        {"files": [{"y": 1}] * 50},
        {"x": '\\"},{\\' * 50},
        {"x": [1, 2, 3]},
    ],
    ids=lambda file: str(file)[:30],
)
def test_pieces__a_wrong_cut_is_noticed(file: dict[str, Any]) -> None:
    """Where texts or deeper lists look like the place between two files, nothing is ever read wrongly."""
    page = {"files": [*FILES, file, *FILES], "name": "demo"}
    for body in (json.dumps(page).encode(), json.dumps({"x": page["files"]} | page).encode()):
        assert joined(body) in (None, json.loads(body))
        assert [link["filename"] for link in FILES * 2] == [
            link.filename for link in parse(body, "application/json", "https://index.example/").files
        ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"files":[]}',
        b'{"files":null}',
        b'{"files":[{}],"files":[{}]}',
        b'{"files":[{}],"files":[]}',
        b'{"x":{"files":[{}]}}',
        b'[{"files":[{}]}]',
        b'{"\\"files":[{}]}',
        b'{"files":[{}}',
        b'{"files":[{}',
        b'{"files":[{}] x}',
        b'{"files":[{}],"x":"the list of files was cut out here"}',
        b'{"files":[{"x":[' + b"]" * 200 + b"}",
    ],
    ids=lambda body: body[:40].decode(),
)
def test_cut__what_is_decoded_as_a_whole(body: bytes) -> None:
    """Other pages, and what is no JSON."""
    assert joined(body) is None


@pytest.mark.parametrize("broken", [b"", b"\\", b"}", b"]", b"{", b"\xff"])
def test_parse__a_broken_piece(broken: bytes) -> None:
    """A page that is broken within its list is no page."""
    body = json.dumps({"files": FILES, "name": "demo"}).encode()
    middle = body.index(b'"filename": "demo-1.25')
    with pytest.raises(UpstreamBroken):
        parse(body[:middle] + broken + body[middle + 1 :], "application/json", "https://index.example/")
