"""Asks one index through the cache, for a page and for the first bytes of a wheel on it, and says how that went.

`python -m tests.live` runs it over the real indexes, the tests over local ones. Nothing is raised for what an index
does: every outcome is a `Finding`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin

import aiohttp

_LINK = re.compile(r'<a[^>]*\shref="([^"#]+\.whl)["#]')
_PART = 1024  # bytes that are asked for
_ZIP = b"PK\x03\x04"  # how a wheel begins


class Verdict(enum.Enum):
    """What is to be made of an index."""

    ANSWERED = "answered"
    UNREACHED = "not reached"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """How it went with one index; `detail` is for a person."""

    name: str
    verdict: Verdict
    detail: str
    wheels: int = 0


async def probe(http: aiohttp.ClientSession, base: str, name: str, path: str) -> Finding:
    """Ask the cache at `base` for the page at `path`, and for a part of the last wheel on it."""
    page = f"{base}/{path}"
    async with http.get(page, headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
        if answer.status != HTTPStatus.OK:
            return Finding(name, _verdict(answer.status), f"page: {answer.status} {text.strip()}")
    links = _LINK.findall(text)
    if not links:
        return Finding(name, Verdict.WRONG, "page: lists no wheel")
    verdict, detail = await _part_of(http, urljoin(page, links[-1]))
    return Finding(name, verdict, detail, len(links))


async def _part_of(http: aiohttp.ClientSession, wheel: str) -> tuple[Verdict, str]:
    async with http.get(wheel, headers={"Range": f"bytes=0-{_PART - 1}"}) as answer:
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            said = "and no part of it" if answer.status == HTTPStatus.OK else (await answer.text()).strip()
            return _verdict(answer.status), f"wheel: {answer.status} {said}"
        part = await answer.read()
        if len(part) != _PART or not part.startswith(_ZIP):
            return Verdict.WRONG, f"wheel: {len(part)} bytes that are not its beginning"
        size = answer.headers["Content-Range"].rpartition("/")[2]
        return Verdict.ANSWERED, f"{wheel.rpartition('/')[2]}: {size} bytes"


def _verdict(status: int) -> Verdict:
    return Verdict.UNREACHED if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Verdict.WRONG
