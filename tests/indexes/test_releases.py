"""The index whose links are redirected to signed addresses."""

from __future__ import annotations

import re

from tests.exchange import ask
from tests.indexes import releases
from tests.wheels import wheel

PACKAGE = wheel("flashinfer-jit-cache", "0.5.0+cu126")


async def test_page__form() -> None:
    """A page links to the forge with everything, and the plus sign as it is."""
    async with releases.serving() as index:
        path = index.add(PACKAGE)
        text = (await ask(f"{index.pages.url}/whl/cu126/flashinfer-jit-cache/")).rest.decode()

        assert f'<a href="{index.forge.url}{path}#sha256={PACKAGE.sha256}">{PACKAGE.filename}</a>' in text
        assert "+cu126" in path


async def test_redirect__expires() -> None:
    """Each redirect gives another address, which is good until it expires, and never without its signature."""
    async with releases.serving() as index:
        path = index.add(PACKAGE)
        first, second = [_location((await ask(index.forge.url + path)).head) for _ in range(2)]
        good = await ask(first)
        index.expire()
        gone = await ask(second)
        third = _location((await ask(index.forge.url + path)).head)

        assert 3 == len({first, second, third})
        assert ("200", PACKAGE.body.read(0, PACKAGE.body.size)) == (good.status, good.rest)
        assert "403" == gone.status
        assert ("200", "403") == ((await ask(third)).status, (await ask(third.partition("?")[0])).status)


async def test_drop() -> None:
    """What is dropped is neither listed nor redirected."""
    async with releases.serving() as index:
        path = index.add(PACKAGE)
        index.drop(PACKAGE)

        assert b"<a " not in (await ask(f"{index.pages.url}/whl/cu126/flashinfer-jit-cache/")).rest
        assert "404" == (await ask(index.forge.url + path)).status


def _location(head: str) -> str:
    matched = re.search(r"^Location: (\S+)", head, re.MULTILINE)
    assert matched is not None
    return matched[1]
