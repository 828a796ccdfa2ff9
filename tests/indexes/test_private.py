"""The index behind basic authentication."""

from __future__ import annotations

import base64

import pytest

from tests.exchange import ask
from tests.indexes import private
from tests.wheels import wheel

PACKAGE = wheel("internal")


@pytest.mark.parametrize("path", ["/simple/internal/", f"/packages/{PACKAGE.filename}", "/simple/absent/"])
async def test_admit__nobody(path: str) -> None:
    """Without credentials everything is 401, and says how to come in."""
    async with private.serving() as index:
        index.add(PACKAGE)
        answer = await ask(index.origin.url + path)

    assert ("401", True) == (answer.status, "WWW-Authenticate: Basic realm=" in answer.head)


@pytest.mark.parametrize(("password", "status"), [("wrong", "403"), (private.PASSWORD, "200")])
@pytest.mark.parametrize("path", ["/simple/internal/", f"/packages/{PACKAGE.filename}"])
async def test_admit__somebody(path: str, password: str, status: str) -> None:
    """With the right credentials all is there, with wrong ones it is forbidden."""
    given = base64.b64encode(f"{private.USER}:{password}".encode()).decode()
    async with private.serving() as index:
        index.add(PACKAGE)

        assert status == (await ask(index.origin.url + path, authorization=f"Basic {given}")).status


async def test_drop() -> None:
    """What is dropped is neither listed nor there; the rest of the project is."""
    given = "Basic " + base64.b64encode(f"{private.USER}:{private.PASSWORD}".encode()).decode()
    async with private.serving() as index:
        index.add(PACKAGE, wheel("internal", "2.0"))
        index.drop(PACKAGE)
        page = await ask(f"{index.origin.url}/simple/internal/", authorization=given)

        assert (False, True) == (b"internal-1.0-" in page.rest, b"internal-2.0-" in page.rest)
        assert "404" == (await ask(f"{index.origin.url}/packages/{PACKAGE.filename}", authorization=given)).status
