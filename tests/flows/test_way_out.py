"""The way out through a company's proxy: pages, large files, archives, tunnels; what goes straight; what fails."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme

from proxy import app
from proxy.config.proxies import Proxy
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from tests import exchange, scrape
from tests.archive import Archive, deb
from tests.bodies import Noise, sha256
from tests.certificates import bundle
from tests.conftest import MakeProxy
from tests.faults import throttled
from tests.flows.asking import SMALL, Got, address, content, get
from tests.flows.test_tunnels import connect, echo
from tests.forward import Forward
from tests.origin import Origin
from tests.wheels import wheel

PAIR = "me:pr0xy-s3cret"
SECRETS = ("pr0xy-s3cret", "bWU6cHIweHk")
ONE = wheel("one", padding=3 << 20)
INDEX = "http://index.invalid"
_ROOT = Path(__file__).parents[2]


@pytest.fixture
async def forward(origin: Origin) -> AsyncIterator[Forward]:
    """A proxy that wants to know who asks, and alone knows where the index is."""
    origin.publish(ONE, metadata=True)
    async with Forward(pair=PAIR, names={"index.invalid:80": origin.port}) as running:
        yield running


def shown(*got: Got) -> str:
    """All that a client hears."""
    return " ".join(f"{each.headers}{each.body!r}" for each in got)


async def test_index__page_file_metadata(
    make_proxy: MakeProxy, forward: Forward, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """All that an index has comes through the proxy, and once; no password goes on to upstream or to clients."""
    running = await make_proxy(INDEX, proxy=forward.url, fetch=SMALL)
    urls = [f"{running.url}/pypi/simple/one/", address(running, ONE), f"{address(running, ONE)}.metadata"]
    got = [await get(http, url) for url in (*urls, *urls, f"{running.url}/metrics")]

    assert [200] * 7 == [each.status for each in got]
    assert [content(ONE.body)] * 2 == [got[1].body, got[4].body]
    assert ONE.body.size == origin.sent_body_bytes(f"/packages/{ONE.filename}")
    assert [] == [target for target in forward.targets("GET") if not target.startswith(f"{INDEX}/")]
    assert not [request for request in origin.requests if "proxy-authorization" in request.headers]
    assert not [secret for secret in SECRETS if secret in shown(*got)]
    fetched = scrape.metric(running, "pullthrough_fetched_bytes_total", upstream="pypi")
    assert origin.sent_body_bytes() == fetched


async def test_file__several_connections(
    make_proxy: MakeProxy, forward: Forward, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Where one connection is slow, others share the file, through the proxy as well."""
    body = Noise(4 << 20, seed=3)
    path = "/packages/slow-1.0.tar.gz"
    origin.file(path, body)
    origin.misbehave(path, throttled(1 << 20))
    running = await make_proxy(INDEX, proxy=forward.url, fetch=SMALL)

    got = await get(http, f"{running.url}/pypi{path}")

    assert content(body) == got.body
    passed = [asked for asked in forward.requests if asked.target.endswith(path)]
    assert len({asked.connection for asked in passed}) > 1
    assert len(passed) == origin.count(path)


async def test_archive__through_the_proxy(
    make_proxy: MakeProxy, forward: Forward, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """apt's archives take the same way."""
    package = Noise(300_000)
    archive = Archive(origin)
    archive.publish(deb("demo", package))
    forward.names["deb.invalid:80"] = origin.port
    running = await make_proxy(INDEX, proxy=forward.url)

    release, file = "/debian/dists/stable/InRelease", "/debian/pool/main/d/demo/demo_1.0_amd64.deb"
    got = [await get(http, f"{running.url}/deb.invalid{path}") for path in (release, file, file)]

    assert [200] * 3 == [each.status for each in got]
    assert [sha256(package)] * 2 == [each.sha256 for each in got[1:]]
    asked = forward.targets("GET")
    assert [1, 1] == [asked.count(f"http://deb.invalid{path}") for path in (release, file)]


async def test_tunnel__within_a_tunnel(make_proxy: MakeProxy, forward: Forward) -> None:
    """A client's CONNECT leads through the proxy to a host that only that one knows."""
    async with echo(None) as port:
        forward.names["files.invalid:443"] = port
        running = await make_proxy(INDEX, proxy=forward.url, apt={"tunnels": ["files.invalid"]})
        reader, writer, head = await connect(running.url, "files.invalid:443")
        assert head.startswith("HTTP/1.1 200 ")
        writer.write(b"x" * 100_000)
        assert b"x" * 100_000 == await reader.readexactly(100_000)
        writer.close()
        await writer.wait_closed()
        await running.close()
    assert ["files.invalid:443"] == forward.targets("CONNECT")


async def test_upstreams__each_its_own_way(
    make_proxy: MakeProxy, forward: Forward, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """One upstream goes straight, one through a proxy of its own, the others through the one for all."""
    async with Forward("127.0.0.5", names=forward.names) as other:
        running = await make_proxy(
            INDEX,
            proxy=forward.url,
            upstreams=(
                UpstreamSettings(mount="near", url=origin.url, proxy="direct"),
                UpstreamSettings(mount="far", url=INDEX, proxy=other.url),
            ),
        )
        for mount in ("pypi", "near", "far"):
            assert 200 == (await get(http, f"{running.url}/{mount}/simple/one/")).status
    assert [[f"{INDEX}/simple/one/"]] * 2 == [proxy.targets("GET") for proxy in (forward, other)]
    assert 3 == origin.count("/simple/one/")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_password__is_wrong(
    make_proxy: MakeProxy,
    forward: Forward,
    http: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
    scheme: str,
) -> None:
    """The answer says which setting to mend; what is kept is served on; the password is nowhere."""
    wrong = forward.url.replace("pr0xy-s3cret", "wr0ng-s3cret")
    running = await make_proxy(f"{scheme}://index.invalid", proxy=wrong, apt={"tunnels": ["files.invalid"]})

    page = await get(http, f"{running.url}/pypi/simple/one/")
    file = await get(http, address(running, ONE))
    package = await get(http, f"{running.url}/deb.invalid/debian/pool/main/d/demo/demo_1.0_amd64.deb")
    tunnel = await exchange.send(running.url, b"CONNECT files.invalid:443 HTTP/1.1\r\nHost: files.invalid\r\n\r\n")

    assert [502] * 3 == [got.status for got in (page, file, package)]
    texts = [page.body.decode(), package.body.decode(), tunnel.rest.decode()]
    assert [True] * 3 == ["`proxy` in the settings names refuses the user and password" in text for text in texts]
    metrics = await get(http, f"{running.url}/metrics")
    await running.close()
    said = shown(page, file, package, metrics) + tunnel.head + "".join(texts) + "".join(capfd.readouterr())
    assert not [secret for secret in ("wr0ng-s3cret", "bWU6d3Iwbmct") if secret in said]


async def test_proxy__is_down(
    make_proxy: MakeProxy, forward: Forward, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """It is the proxy that is told to be down, and what is kept is served meanwhile."""
    running = await make_proxy(INDEX, proxy=forward.url, ttl=0)
    assert 200 == (await get(http, f"{running.url}/pypi/simple/one/")).status
    forward.instead = lambda _: b""

    stale = await get(http, f"{running.url}/pypi/simple/one/")
    cold = await get(http, f"{running.url}/pypi/simple/two/")

    assert (200, "stale") == (stale.status, stale.source)
    assert 502 == cold.status
    assert "proxy" in cold.body.decode()


async def test_loop__the_proxy_is_the_cache(data_folder: Path, http: aiohttp.ClientSession) -> None:
    """A cache that has itself for a proxy, under an address that it cannot know for its own, says so at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    itself = Proxy(f"http://127.0.0.1:{port}", "the variable http_proxy")
    settings = Settings(
        port=port,
        data=data_folder,
        fetch={"retries": 0},
        apt={"tunnels": ["files.invalid"]},
        upstreams=(UpstreamSettings(mount="pypi", url=INDEX),),
    )
    running = await app.start(settings, proxies=KnownProxies({"http": itself, "https": itself}, {}))
    try:
        page = await get(http, f"{running.url}/pypi/simple/one/")
        package = await get(http, f"{running.url}/deb.invalid/debian/pool/main/d/demo/demo_1.0_amd64.deb")
        tunnel = await exchange.send(running.url, b"CONNECT files.invalid:443 HTTP/1.1\r\nHost: files.invalid\r\n\r\n")
    finally:
        await running.close()

    assert [502, 502, "502"] == [page.status, package.status, tunnel.status]
    texts = [page.body.decode(), package.body.decode(), tunnel.rest.decode()]
    assert [True] * 3 == ["the variable http_proxy names sends requests back to this cache" in text for text in texts]


@asynccontextmanager
async def process(folder: Path, settings: str, *flags: str, **environ: str) -> AsyncIterator[tuple[str, list[str]]]:
    """The program as it is started by a person: its address, and the lines that it says, all of them at the end."""
    (folder / "pullthrough.toml").write_text(settings, encoding="utf-8")
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve", "--port=0", f"--data={folder / 'data'}", *flags),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(_ROOT), **environ},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert started.stderr is not None
    lines: list[str] = []
    while not lines or "Ctrl-C" not in lines[-1]:
        line = (await started.stderr.readline()).decode()
        assert line, "".join(lines)
        lines.append(line)
    url = next(match[1] for line in lines if (match := re.search(r"serves at (\S+)", line)))
    try:
        yield url, lines
    finally:
        started.send_signal(signal.SIGTERM)
        lines.extend((await started.stderr.read()).decode().splitlines(keepends=True))
        assert 0 == await started.wait()


async def test_environment__of_the_process(
    tmp_path: Path, authority: trustme.CA, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """HTTPS_PROXY, HTTP_PROXY and NO_PROXY are used as by curl on the same machine, and said at the start."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("secure.invalid").configure_cert(tls)
    settings = "".join(
        f'[[upstream]]\nmount = "{mount}"\nurl = "{url}"\n'
        for mount, url in (("plain", INDEX), ("secure", "https://secure.invalid"), ("near", origin.url))
    )
    async with Origin(tls=tls) as inside, Forward("127.0.0.5", PAIR) as secure, Forward(pair=PAIR) as plain:
        for each in (origin, inside):
            each.publish(ONE)
        secure.names["secure.invalid:443"], plain.names["index.invalid:80"] = inside.port, origin.port
        environ = {
            "HTTPS_PROXY": secure.url,
            "HTTP_PROXY": plain.url,
            "no_proxy": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(bundle(authority, tmp_path / "authority.pem")),
        }
        async with process(tmp_path, settings, **environ) as (url, lines):
            for mount in ("plain", "secure", "near"):
                assert 200 == (await get(http, f"{url}/{mount}/simple/one/")).status
                assert content(ONE.body) == (await get(http, f"{url}/{mount}/packages/{ONE.filename}")).body
        assert ["secure.invalid:443"] == secure.targets("CONNECT")[:1]
        assert [] == secure.targets("GET")
        assert {f"{INDEX}/simple/one/", f"{INDEX}/packages/{ONE.filename}"} == set(plain.targets("GET"))
    said = "".join(lines)
    assert f"by https through http://***@127.0.0.5:{secure.port} (the variable HTTPS_PROXY)" in said
    assert f"by http through http://***@127.0.0.3:{plain.port} (the variable HTTP_PROXY)" in said
    assert not [secret for secret in (*SECRETS, "me:") if secret in said]


async def test_environment__that_is_meant_for_clients(
    tmp_path: Path, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """http_proxy that names the cache itself is left out, and that is said."""
    origin.publish(ONE)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = f'[[upstream]]\nmount = "near"\nurl = "{origin.url}"\n'
    async with process(tmp_path, settings, f"--port={port}", http_proxy=f"http://127.0.0.1:{port}") as (url, lines):
        assert 200 == (await get(http, f"{url}/near/simple/one/")).status
    assert "pullthrough: http_proxy names this cache itself; it is not used to reach upstream\n" in lines


@pytest.mark.parametrize(
    ("flags", "environ", "word"),
    [
        (["--proxy=socks5://me:s3cret@a.example:1"], {}, "--proxy: names a SOCKS proxy"),
        (["--proxy=http://me:s3/cret@a.example:1"], {}, "--proxy: must be an address"),
        ([], {"HTTPS_PROXY": "socks5://me:s3cret@a.example:1"}, "HTTPS_PROXY: names a SOCKS proxy"),
        (["--proxy=127.0.0.1:3142", "--port=3142"], {}, "proxy: names this cache itself"),
    ],
)
async def test_refused__at_the_start(tmp_path: Path, flags: list[str], environ: dict[str, str], word: str) -> None:
    """What cannot be used is said in one line, and ends the start with 2."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve", "--port=0", f"--data={tmp_path}", *flags),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(_ROOT), **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await started.communicate()
    (line,) = said.decode().splitlines()
    assert (2, True) == (started.returncode, line.startswith(f"pullthrough: {word}"))
    assert "cret" not in line
