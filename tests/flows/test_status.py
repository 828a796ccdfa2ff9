"""The page and the API of a running cache: what they say is what happens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from proxy.app import Running
from tests import faults, scrape
from tests.conftest import MakeProxy
from tests.flows.asking import SEGMENT, SMALL, address, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.wheels import wheel


async def _now(running: Running, http: aiohttp.ClientSession) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((await get(http, f"{running.url}/api/v1/now")).body)
    return facts


async def test_now__a_download_with_its_followers(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file on its way has its progress and its clients; when it has come, nothing is under way."""
    package = wheel(padding=5 * SEGMENT)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(f"/packages/{package.filename}", faults.hold_body(1000, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)
    asking = [asyncio.create_task(get(http, url)) for _ in range(3)]
    await gate.reached.wait()

    while (await _now(running, http))["downloads"][0]["followers"] < 3:
        await asyncio.sleep(0.01)
    facts = await _now(running, http)
    page = await get(http, f"{running.url}/", accept="text/html")
    gate.open()
    await asyncio.gather(*asking)
    while (await _now(running, http))["downloads"]:  # it ends a moment after the clients have all of it
        await asyncio.sleep(0.01)

    (download,) = facts["downloads"]
    assert ("pypi", package.filename, package.body.size) == (download["upstream"], download["name"], download["size"])
    assert 0 <= download["received"] < package.body.size
    assert f'<th scope="row" class="long">{package.filename}</th>'.encode() in page.body


async def test_now__figures_are_those_of_the_metrics(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Bytes sent, fetched and saved, and failures of upstream."""
    package = wheel(padding=100_000)
    origin.publish(package)
    running = await make_proxy(origin.url, ttl=0)
    for _ in range(3):
        await get(http, f"{running.url}/pypi/simple/demo/")
        await get(http, address(running, package))
        await until_kept(http, address(running, package))
    origin.misbehave("/simple/demo/", faults.status(500))
    await get(http, f"{running.url}/pypi/simple/demo/")
    await until_idle(running)

    facts = await _now(running, http)

    sent = sum(
        scrape.metric(running, "pullthrough_sent_bytes_total", upstream="pypi", source=source)
        for source in ("cache", "shared", "upstream")
    )
    fetched = scrape.metric(running, "pullthrough_fetched_bytes_total", upstream="pypi")
    assert (sent, fetched, sent - fetched) == (facts["sent"], facts["fetched"], facts["saved"])
    assert facts["saved"] > 0
    assert {"upstream": "pypi", "reason": "broken"}.items() <= facts["failures"][0].items()
    assert ("/pypi/simple/demo/", "stale") == (facts["answers"][0]["path"], facts["answers"][0]["outcome"])
    assert scrape.metric(running, "pullthrough_cache_bytes") == facts["size"]


async def test_now__days_outlive_a_restart(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What was sent and fetched before the cache was started again is told with what came after."""
    origin.publish(wheel())
    first = await make_proxy(origin.url)
    await get(http, f"{first.url}/pypi/simple/demo/")
    before = await _now(first, http)
    await first.close()
    second = await make_proxy(origin.url)
    await get(http, f"{second.url}/pypi/simple/demo/")
    after = await _now(second, http)

    assert [(before["sent"], before["fetched"])] == [(day["sent"], day["fetched"]) for day in before["days"]]
    assert before["sent"] + after["sent"] == sum(day["sent"] for day in after["days"])
    assert before["fetched"] + after["fetched"] == sum(day["fetched"] for day in after["days"])


async def test_now__asked_again(proxy: Running, http: aiohttp.ClientSession) -> None:
    """Who looks on while nothing happens is sent nothing."""
    got = await get(http, f"{proxy.url}/api/v1/now")
    assert 200 == got.status
    while got.status == 200:  # the disk may be measured between two of them
        got = await get(http, f"{proxy.url}/api/v1/now", if_none_match=got.headers["etag"])

    assert (304, b"") == (got.status, got.body)


@pytest.mark.parametrize("path", ["/?view=live", "/api/v1/now"])
async def test_look__of_many_tabs(proxy: Running, http: aiohttp.ClientSession, path: str) -> None:
    """All who get the same facts get the same answer, and each is counted."""
    before = proxy.metrics.answers
    answers = [await get(http, proxy.url + path, accept="text/html") for _ in range(20)]
    for answer in answers:
        answer.headers.pop("date")
    by_tag = {answer.headers["etag"]: answer for answer in answers}
    assert all(answer == by_tag[answer.headers["etag"]] for answer in answers)
    assert 20 == proxy.metrics.answers - before


async def test_stored__what_came_through(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file that a client got is found by its project, with the digest that its index promised."""
    package = wheel(padding=100_000)
    origin.publish(package, fmt="json")
    running = await make_proxy(origin.url)
    await get(http, address(running, package))
    await until_kept(http, address(running, package))

    listing = json.loads((await get(http, f"{running.url}/api/v1/stored?q=demo-1.0")).body)
    page = await get(http, f"{running.url}/?view=stored&q=demo", accept="text/html")

    assert [(package.sha256, package.filename)] == [(one["sha256"], one["file"]["name"]) for one in listing["shown"]]
    assert package.sha256.encode() in page.body


async def test_page__under_a_name_of_somebody_elses(proxy: Running, http: aiohttp.ClientSession) -> None:
    """A web page whose name leads here is refused, and a person is told which setting opens the name."""
    for path in ("/", "/api/v1/now"):
        got = await get(http, proxy.url + path, host="evil.example", accept="text/html")
        assert 403 == got.status
        assert b"add the name to the setting names" in got.body
