"""Pages of the tests' upstream look as those of indexes do."""

from __future__ import annotations

import json

import aiohttp
import pytest

from tests.origin import Origin
from tests.pages import Link


@pytest.mark.parametrize(
    ("fmt", "accept", "content_type"),
    [
        ("html", "application/vnd.pypi.simple.v1+json", "text/html; charset=utf-8"),
        ("json", "text/html", "application/vnd.pypi.simple.v1+json"),
        ("both", "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+json"),
        ("both", "text/html", "application/vnd.pypi.simple.v1+html"),
    ],
)
async def test_page__formats(
    origin: Origin, http: aiohttp.ClientSession, fmt: str, accept: str, content_type: str
) -> None:
    """A page is HTML, JSON, or what the client asks for."""
    link = Link("demo-1.0.tar.gz", "../../packages/demo-1.0.tar.gz", sha256="ab" * 32, yanked="", metadata=True)
    origin.page("/simple/demo/", [link], fmt=fmt, max_age=60)  # type: ignore[arg-type]

    async with http.get(f"{origin.url}/simple/demo/", headers={"Accept": accept}) as answer:
        text = await answer.text()

    assert (content_type, "max-age=60, public") == (answer.headers["Content-Type"], answer.headers["Cache-Control"])
    if content_type.endswith("json"):
        (file,) = json.loads(text)["files"]
        assert ("demo-1.0.tar.gz", {"sha256": "ab" * 32}, True) == (file["filename"], file["hashes"], file["yanked"])
    else:
        assert f'href="{link.url}#sha256={link.sha256}" data-yanked="" data-core-metadata="true"' in text
