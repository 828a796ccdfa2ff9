"""The program's own pages, its log, and whether its figures are true."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import exchange, faults, pages, scrape
from tests.conftest import MakeProxy
from tests.flows.reading import get
from tests.origin import Origin
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

PAGE = "/pypi/simple/demo/"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probe(proxy: Running, http: aiohttp.ClientSession, path: str) -> None:
    """A running server is alive and ready; nobody keeps that answer."""
    got = await get(http, proxy.url + path)
    assert (200, b"ok\n", "no-store") == (got.status, got.body, got.headers["cache-control"])


async def test_front_page__browser(proxy: Running, http: aiohttp.ClientSession) -> None:
    """It names the mounts, and no upstream."""
    got = await get(http, f"{proxy.url}/", accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert got.status == 200
    assert f"{proxy.url}/pypi/".encode() in got.body


@pytest.mark.parametrize("accept", ["text/*", "*/*", ""])
async def test_front_page__by_its_status_line_a_cache_for_apt(proxy: Running, accept: str) -> None:
    """Tools that look for a cache for apt know one by these words; the body says how to use it."""
    got = await exchange.ask(f"{proxy.url}/", accept=accept)
    assert "HTTP/1.1 406 Usage Information" == got.head.splitlines()[0]
    assert f'Acquire::http::Proxy "{proxy.url}/";'.encode() in got.rest


async def test_detecting_script(proxy: Running, http: aiohttp.ClientSession) -> None:
    """It holds the address that it was fetched from."""
    got = await get(http, f"{proxy.url}/api/apt-proxy-detect")
    assert (200, True) == (got.status, got.body.startswith(b"#!/bin/sh\n"))
    assert f"\ncache={proxy.url}\n".encode() in got.body


@pytest.mark.parametrize("host", ["a;reboot", "$(reboot)", "a b", "user@a", "a:3142/x", "`reboot`"])
@pytest.mark.parametrize("path", ["/", "/api/apt-proxy-detect"])
async def test_own_address__not_a_plain_host(proxy: Running, http: aiohttp.ClientSession, path: str, host: str) -> None:
    """What a client writes for the host gets into no text unless it is a plain one."""
    got = await get(http, proxy.url + path, host=host)
    assert proxy.url.encode() in got.body
    assert b"reboot" not in got.body
    assert host.encode() not in got.body.splitlines()


async def test_metrics(proxy: Running, http: aiohttp.ClientSession) -> None:
    """They come in the text that Prometheus reads; HEAD has no body."""
    got = await get(http, f"{proxy.url}/metrics")
    head = await get(http, f"{proxy.url}/metrics", "HEAD")
    assert (200, 200, b"") == (got.status, head.status, head.body)
    assert got.headers["content-type"].startswith("text/plain")
    assert b"pullthrough_requests_total" in got.body


async def test_figures__of_pages_and_metadata(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Bytes sent are counted by where they came from, and bytes fetched are what upstream sent (invariant 9)."""
    package = wheel(padding=1 << 16)
    origin.publish(package, metadata=True)
    asked = [PAGE, PAGE, f"/pypi/packages/{package.filename}.metadata", f"/pypi/packages/{package.filename}.metadata"]
    answers = [await get(http, proxy.url + path, accept=pages.JSON) for path in asked]
    sent = {
        source: scrape.metric(proxy, "pullthrough_sent_bytes_total", source=source)
        for source in ("cache", "shared", "upstream")
    }
    assert sum(len(got.body) for got in answers) == sum(sent.values())
    assert len(answers[0].body) + len(answers[2].body) == sent["upstream"]
    assert scrape.metric(proxy, "pullthrough_fetched_bytes_total", upstream="pypi") == origin.sent_body_bytes()


async def test_figures__of_outcomes(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Each outcome of a page has its count, errors of upstream too."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    await get(http, running.url + PAGE)
    await get(http, running.url + PAGE)
    origin.misbehave("/simple/demo/", faults.status(500))
    await get(http, running.url + PAGE)
    await get(http, f"{running.url}/pypi/simple/missing/")
    counts = {
        outcome: scrape.metric(running, "pullthrough_requests_total", upstream="pypi", outcome=outcome)
        for outcome in ("miss", "revalidated", "stale", "error")
    }
    assert counts == {"miss": 1, "revalidated": 1, "stale": 1, "error": 1}
    # Each attempt that failed: upstream was asked with the page's validators, and then without.
    assert scrape.metric(running, "pullthrough_upstream_errors_total", reason="broken") == 2


async def test_log__has_one_line_a_request(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each request leaves one JSON object: what was asked, how it ended, how many bytes by source."""
    running = await make_proxy(origin.url)
    origin.publish(wheel())
    got = await get(http, running.url + PAGE)
    await get(http, f"{running.url}/nowhere/")
    await get(http, running.url + PAGE, "HEAD")
    await running.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    shown = [(line["method"], line["path"], line["status"], line["outcome"], line["sent"]) for line in lines]
    assert shown == [
        ("GET", PAGE, 200, "miss", {"upstream": len(got.body)}),
        ("GET", "/nowhere/", 404, "error", {}),
        ("HEAD", PAGE, 200, "hit", {}),
    ]
    assert {line["client"] for line in lines} == {"127.0.0.1"}


async def test_log__cannot_be_forged(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address with encoded line ends stays within its line, in both forms of the log."""
    running = await make_proxy(origin.url, serve={"log_format": "text"})
    await get(http, f'{running.url}/x%0d%0aforged" 200')
    await running.close()
    assert len(capsys.readouterr().err.splitlines()) == 1


async def test_server_field(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Every answer names the product, once, and nothing of what it is made with."""
    packages = [wheel(f"demo{number}", padding=padding) for number, padding in enumerate((0, 100_000, 600_000))]
    origin.publish(*packages, metadata=True)
    origin.resource("/simple/", "<a href='demo/'>demo</a>", content_type="text/html")
    running = await make_proxy(origin.url)
    files = [f"/pypi/packages/{package.filename}" for package in packages]
    lines = [
        *(
            f"GET {path} HTTP/1.1"
            for path in ("/", "/metrics", "/healthz", "/api/apt-proxy-detect", "/api/x", "/nowhere/", "/pypi/simple/")
        ),
        *(f"{method} {path} HTTP/1.1" for method in ("GET", "HEAD", "GET", "OPTIONS", "POST") for path in files),
        *(f"GET {path} HTTP/1.1\r\nRange: bytes={span}" for path in files for span in ("0-3", "9-3", "9999999-")),
        *(f"GET {path}.metadata HTTP/1.1" for path in files),
        *(f"GET {path} HTTP/1.1\r\nIf-None-Match: *" for path in files),
        *("GET /pypi/simple/demo0/ HTTP/1.1", "GET /pypi/simple/Demo0/ HTTP/1.1", "GET /pypi/simple/x/ HTTP/1.1") * 2,
        *("GET /pypi/%zz HTTP/1.1", "GET a HTTP/1.1", "GET /a b HTTP/1.1", "G\x01T / HTTP/1.1", "nonsense"),
        *("GET / HTTP/1.1\r\nno field", "GET / HTTP/1.1\r\nX: " + "a" * 9000, "GET / HTTP/1.0", "GET / HTTP/9.9"),
        *("CONNECT other.example:443 HTTP/1.1", "CONNECT a HTTP/1.1", "GET /deb.invalid/debian/a.deb HTTP/1.1"),
    ]  # fmt: skip
    for line in lines:
        for closing in ("", "\r\nConnection: close"):
            request = f"{line}\r\nHost: a{closing}\r\n\r\n"
            last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            got = await exchange.send(running.url, f"{request}{last}".encode())
            heads = [got.head, *re.findall(r"HTTP/1\.1 [1-5].*?\r\n\r\n", got.rest.decode("latin-1"), re.DOTALL)]
            for head in heads:
                assert ["pullthrough"] == re.findall(r"(?im)^server: *([^\r\n]*)", head), (line[:80], head)
                assert not re.search("aiohttp|python/", head, re.IGNORECASE)


async def test_server_field__tunnel(make_proxy: MakeProxy, origin: Origin) -> None:
    """A tunnel that is opened, too."""
    place = f"{origin.host}:{origin.port}"
    running = await make_proxy(origin.url, apt={"tunnels": frozenset({place})})
    inside = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    got = await exchange.send(running.url, f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n{inside}".encode())
    assert ("200", True) == (got.status, "\r\nServer: pullthrough" in got.head)
