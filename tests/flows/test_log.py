"""What the program says of itself on standard error: as lines with fields, whatever happens, and until the end."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest

from tests import faults
from tests.conftest import MakeProxy
from tests.flows.asking import address, get
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import wheel


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that are not about requests."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if "level" in line]


async def test_download_failed(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line has the upstream and the reason."""
    package = wheel()
    origin.publish(package)
    origin.file(f"/packages/{package.filename}", b"other" * 1000)
    running = await make_proxy(origin.url)
    await get(http, f"{running.url}/pypi/simple/demo/")
    assert 502 == (await get(http, address(running, package))).status
    await running.close()
    (line,) = said(capsys)
    assert ("warning", "download failed", "pypi") == (line["level"], line["message"], line["upstream"])
    assert "Nothing was cached" in line["reason"]


@pytest.mark.parametrize("what", ["past the store", "list of projects"])
async def test_answer_broken_off(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    """Why an answer broke off whose head had left stands in the log, and the request counts as an error."""
    package = wheel(padding=3_000_000)
    origin.publish(package)
    names = "".join(f'<a href="/simple/p{number}/">p{number}</a>\n' for number in range(100_000))
    origin.resource("/simple/", names, content_type="text/html", length=False)
    origin.misbehave("/simple/", faults.cut(2_000_000))
    origin.misbehave(f"/packages/{package.filename}", faults.flipped(1_000_000))
    running = await make_proxy(origin.url, disk=2_900_000)
    await get(http, f"{running.url}/pypi/simple/demo/")
    past = what == "past the store"
    got = await get(http, address(running, package) if past else f"{running.url}/pypi/simple/")
    assert (200, True) == (got.status, got.broken)
    await running.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (reason,) = [line for line in lines if line.get("message") == "an answer was broken off"]
    request = [line for line in lines if "client" in line][-1]
    assert ("error", 200) == (request["outcome"], request["status"])
    assert ("pypi", True) == (reason["upstream"], ("digest" if past else "Upstream") in reason["reason"])


async def test_stale_page(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """In text form the fields are there, too."""
    origin.page("/simple/demo/", [Link("demo-1.0.tar.gz", "demo-1.0.tar.gz")])
    running = await make_proxy(origin.url, ttl=0, serve={"log_format": "text"})
    await get(http, f"{running.url}/pypi/simple/demo/")
    origin.misbehave("/simple/demo/", faults.status(500))
    await get(http, f"{running.url}/pypi/simple/demo/")
    await running.close()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if " warning " in line]
    assert 'stale copy served upstream="pypi" reason=' in line


async def test_until_the_end(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is said while the program ends comes out, also of libraries and of other threads."""
    running = await make_proxy(origin.url)
    running._stack.callback(logging.getLogger("aiohttp").warning, "said while it ends")
    running._stack.push_async_callback(asyncio.to_thread, logging.getLogger("proxy").info, "in a thread")
    await running.close()
    assert ["in a thread", "said while it ends"] == [line["message"] for line in said(capsys)]
    logging.getLogger("proxy").info("said after it ended")
    assert [] == said(capsys)
