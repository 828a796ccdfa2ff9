"""One number for each fact: page, API, `/metrics`, `stats --json`, history and log agree, whatever clients did."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import aiohttp
import pytest

from proxy.app import Running
from proxy.events import HITS
from proxy.web.status_page import size
from tests import faults, scrape
from tests.conftest import MakeProxy
from tests.flows.asking import SEGMENT, SMALL, address, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.wheels import wheel

_HITS = {outcome.value for outcome in HITS}


async def _mixed(running: Running, origin: Origin, http: aiohttp.ClientSession) -> int:
    """Hits, misses, followers, parts, heads, what is not modified, what is not there, what broke; gives how many."""
    page = f"{running.url}/pypi/simple/demo/"
    large, small = wheel("demo", "1.0", padding=5 * SEGMENT), wheel("demo", "2.0")
    for package in (large, small):
        origin.publish(package, fmt="json")
    gate = Gate()
    origin.misbehave(f"/packages/{large.filename}", faults.hold_body(1000, gate), times=1)
    asking = [asyncio.create_task(get(http, address(running, large))) for _ in range(3)]
    await gate.reached.wait()
    gate.open()
    await asyncio.gather(*asking)
    await until_kept(http, address(running, large))
    before = int(scrape.metric(running, "pullthrough_requests_total"))
    first = await get(http, page)
    asked = [
        await get(http, page),
        await get(http, page, "HEAD"),
        await get(http, page, if_none_match=first.headers["etag"]),
        await get(http, address(running, small)),
        await get(http, address(running, large)),
        await get(http, address(running, large), range="bytes=5-104"),
        await get(http, f"{running.url}/pypi/packages/nothing-1.0-py3-none-any.whl"),
        await get(http, f"{running.url}/pypi/simple/nothing/"),
        await get(http, f"{running.url}/nothing/"),
    ]
    assert {200, 206, 304, 404} <= {got.status for got in asked}
    origin.misbehave("/packages/demo-3.0-py3-none-any.whl", faults.cut(2_000_000))
    broken = wheel("demo", "3.0", padding=4_000_000)
    origin.publish(broken, fmt="json")
    await get(http, address(running, broken))
    return before + len(asked) + 2


async def _gone(running: Running, http: aiohttp.ClientSession, origin: Origin) -> None:
    """A client that goes away in the middle of a large answer."""
    package = wheel("gone", "1.0", padding=30_000_000)
    origin.publish(package)
    response = await http.get(address(running, package))
    await response.content.read(1)
    response.close()


async def _stats(running: Running) -> dict[str, Any]:
    """What the verb says, as another process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "stats", "--json", "--data", str(running.store.folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert 0 == process.returncode
    told: dict[str, Any] = json.loads(output)
    return told


def _sums(rows: Iterable[dict[str, Any]], *names: str) -> tuple[int, ...]:
    return tuple(sum(row[name] or 0 for row in rows) for name in names)


@pytest.mark.timeout(180)
async def test_numbers__are_one(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests, hits, bytes sent, fetched and saved: to the byte."""
    running = await make_proxy(origin.url, fetch=SMALL)
    requests = await _mixed(running, origin, http) + 1
    await _gone(running, http, origin)
    while scrape.metric(running, "pullthrough_requests_total") < requests:
        await asyncio.sleep(0.01)
    await until_idle(running)

    now = json.loads((await get(http, f"{running.url}/api/v1/now")).body)
    page = (await get(http, f"{running.url}/", accept="text/html")).body.decode()
    metrics = (await get(http, f"{running.url}/metrics")).body.decode()
    stats = await _stats(running)
    await running.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    log = [line for line in lines if "outcome" in line and line["upstream"] == "pypi"]

    # Sent, fetched, saved.
    sent = sum(sum(line["sent"].values()) for line in log)
    fetched = int(scrape.value(metrics, "pullthrough_fetched_bytes_total"))
    assert sent == now["sent"] == int(scrape.value(metrics, "pullthrough_sent_bytes_total"))
    assert fetched == now["fetched"]
    assert sent - fetched == now["saved"] == stats["saved"]
    assert [(sent, fetched)] == [(day["sent"], day["fetched"]) for day in now["days"]]
    # From the cache and from each other's downloads.
    by_source = Counter[str]()
    for line in log:
        by_source.update(line["sent"])
    for source in ("cache", "shared", "upstream"):
        assert by_source[source] == int(scrape.value(metrics, "pullthrough_sent_bytes_total", source=source))
    (upstream,) = [one for one in now["upstreams"] if one["name"] == "pypi"]
    assert (
        by_source["cache"] + by_source["shared"] == upstream["from_cache"] == _sums(stats["amounts"], "from_cache")[0]
    )
    # Requests and hits.
    hits = sum(line["outcome"] in _HITS for line in log)
    assert (len(log), hits) == (upstream["requests"], upstream["hits"]) == _sums(stats["amounts"], "requests", "hits")
    assert len(log) == int(scrape.value(metrics, "pullthrough_requests_total", upstream="pypi"))
    outcomes = Counter(line["outcome"] for line in log)
    for outcome, count in outcomes.items():
        told = scrape.value(metrics, "pullthrough_requests_total", upstream="pypi", outcome=outcome)
        assert count == int(told), outcome
    assert {"hit", "miss", "shared", "error"} <= set(outcomes)
    # What a person reads.
    for name, number in (("Sent to clients", sent), ("Fetched from upstream", fetched), ("Saved", sent - fetched)):
        assert f"<dt>{name}</dt><dd>{size(number)}</dd>" in page, name
    row = rf'<th scope="row">pypi</th><td class="number">{len(log)}</td><td class="number">{hits}</td>'
    assert re.search(row, page)
    # What is stored.
    assert now["size"] == stats["size"] == int(scrape.value(metrics, "pullthrough_cache_bytes"))
    assert now["files"] == stats["files"]
