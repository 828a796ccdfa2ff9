"""What `make live` says of an index, tried on local ones."""

from __future__ import annotations

import aiohttp
import pytest

from tests import faults
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.live.probing import Verdict, probe
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import sdist, wheel

DEMO = wheel(padding=5000)


async def test_probe__answers(origin: Origin, make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A page with wheels, of which a part comes, is an answer; and the wheel is not fetched for that."""
    large = wheel("large", padding=3_000_000)
    origin.publish(wheel("large", "0.9"), large)
    running = await make_proxy(origin.url)

    found = await probe(http, running.url, "here", "pypi/simple/large/")

    assert ("here", Verdict.ANSWERED, 2) == (found.name, found.verdict, found.wheels)
    assert f"{large.filename}: {large.body.size} bytes" == found.detail
    assert origin.sent_body_bytes() < 100_000


async def test_probe__not_reached(origin: Origin, make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """An index that is not there, or whose files are not, was not reached."""
    origin.publish(DEMO)
    running = await make_proxy(origin.url)
    origin.misbehave(f"/packages/{DEMO.filename}", faults.hang_up())
    file = await probe(http, running.url, "here", "pypi/simple/demo/")
    await origin.stop()
    page = await probe(http, running.url, "here", "pypi/simple/other/")

    assert (Verdict.UNREACHED, 1, True) == (file.verdict, file.wheels, file.detail.startswith("wheel: 502 "))
    assert (Verdict.UNREACHED, 0, True) == (page.verdict, page.wheels, page.detail.startswith("page: 502 "))


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("absent", "page: 404 "),
        ("source", "page: lists no wheel"),
        ("gone", "wheel: 404 "),
        ("noise", "wheel: 1024 bytes that are not its beginning"),
    ],
)
async def test_probe__wrong(
    path: str, detail: str, origin: Origin, make_proxy: MakeProxy, http: aiohttp.ClientSession
) -> None:
    """A page that is missing or lists no wheel, and a wheel that is none, are wrong."""
    origin.publish(sdist("source"), wheel("gone"))
    origin.remove(f"/packages/{wheel('gone').filename}")
    origin.page("/simple/noise/", [Link("noise-1.0-py3-none-any.whl", "/packages/noise-1.0-py3-none-any.whl")])
    origin.file("/packages/noise-1.0-py3-none-any.whl", Noise(300_000))
    running = await make_proxy(origin.url)

    found = await probe(http, running.url, "here", f"pypi/simple/{path}/")

    assert (Verdict.WRONG, True) == (found.verdict, found.detail.startswith(detail)), found
