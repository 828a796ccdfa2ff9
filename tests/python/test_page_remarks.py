"""What pages say of files, read the quick way and the careful way alike."""

from __future__ import annotations

import json

import pytest

from proxy.errors import UpstreamBroken
from proxy.python.page_remarks import read

_JSON = "application/vnd.pypi.simple.v1+json"
_URL = "https://index.example/simple/demo/"
_FILE = {"filename": "demo-1.zip", "url": "demo-1.zip", "hashes": {"sha256": "AB" * 32}, "yanked": ""}


def test_read__json() -> None:
    """As the standard has it."""
    files = [_FILE, {"filename": "demo-2.zip", "url": "x", "requires-python": ">=3", "yanked": "broken", "hashes": {}}]
    body = json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": files}).encode()

    assert [("demo-1.zip", "ab" * 32, None, False), ("demo-2.zip", "", ">=3", "broken")] == list(
        read(body, _JSON, _URL)
    )


def test_read__json_that_is_not_as_the_standard_has_it() -> None:
    """As it is read for clients."""
    files = [{"url": "demo-1.zip", "hashes": {"sha256": "ab" * 32}, "requires-python": 5, "yanked": True}]
    body = json.dumps({"files": files}).encode()

    assert [("demo-1.zip", "ab" * 32, None, True)] == list(read(body, _JSON, _URL))


def test_read__html() -> None:
    """Attributes and fragments."""
    body = f'<!DOCTYPE html><a href="demo-1.zip#sha256={"ab" * 32}" data-requires-python="&gt;=3">demo-1.zip</a>'

    assert [("demo-1.zip", "ab" * 32, ">=3", False)] == list(read(body.encode(), "text/html", _URL))


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"{", _JSON), (b"[]", _JSON), (b'{"files": [], "x": ' + b"[" * 100_000, _JSON), (b"<p>login", "text/html")],
)
def test_read__no_page(body: bytes, kind: str) -> None:
    """It is said before anything is given."""
    with pytest.raises(UpstreamBroken):
        read(body, kind, _URL)
