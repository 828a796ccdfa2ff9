"""The indexes of a cache that runs, as it says itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from proxy.app import Running
from proxy.builds import cache_indexes
from proxy.builds.build_site import CachePlace
from proxy.config.groups import GroupSettings
from proxy.config.upstreams import UpstreamSettings
from tests.conftest import MakeProxy
from tests.fake_engine import FakeEngine
from tests.origin import Origin


def _place(running: Running) -> tuple[str, int]:
    parts = urlsplit(running.url)
    return str(parts.hostname), int(parts.port or 0)


async def test_of__mounts_and_groups(make_proxy: MakeProxy, origin: Origin) -> None:
    """With the path of each one's index, decoded."""
    corp = UpstreamSettings(mount="corp", url=f"{origin.url}/own/", index="a%20b/")
    groups = (GroupSettings(mount="cuda", members=("corp", "pypi")),)
    running = await make_proxy(origin.url, index="whl/", upstreams=(corp,), groups=groups)

    found = await asyncio.to_thread(cache_indexes.of, *_place(running))

    assert found is not None
    assert ("whl/", "a b/", "simple/") == (found["pypi"], found["corp"], found["cuda"])


async def test_of__behind_a_public_url(make_proxy: MakeProxy, origin: Origin) -> None:
    """What others call the cache is no part of a mount."""
    running = await make_proxy(origin.url, public_url="https://cache.example")

    found = await asyncio.to_thread(cache_indexes.of, *_place(running))

    assert found is not None
    assert "simple/" == found["pypi"]


async def test_path_of__what_is_behind_the_cache(make_proxy: MakeProxy) -> None:
    """An index by its address upstream: in whichever form, of the mount whose base is the longest; no file's host."""
    corp = UpstreamSettings(mount="corp", url="https://corp.example/own/", hosts=frozenset({"files.example"}))
    running = await make_proxy("https://corp.example/", upstreams=(corp,))
    place = _place(running)

    def asked(url: str) -> str | None:
        return cache_indexes.path_of(*place, url)

    for url in ("https://corp.example/own/simple", "https://corp.example:443/own/simple/"):
        assert "/corp/simple/" == await asyncio.to_thread(asked, url)
    assert "/pypi/simple/" == await asyncio.to_thread(asked, "https://corp.example/simple")
    for url in ("https://files.example/simple/", "https://other.example/simple/", "no address", "file:///x"):
        assert await asyncio.to_thread(asked, url) is None


def test_at_place__nobody_answers(engine: FakeEngine) -> None:
    """Neither there nor in a container, nor on a machine without an engine."""
    for environ in (engine.environ, {"DOCKER_HOST": "unix:///nowhere/docker.sock"}):
        assert cache_indexes.at_place(CachePlace(("127.0.0.1",), 9), environ) is None


async def test_at_place__in_a_container(proxy: Running, engine: FakeEngine) -> None:
    """Published at another port than that of the settings."""
    ports = [{"IP": "127.0.0.1", "PublicPort": _place(proxy)[1], "PrivatePort": 3142, "Type": "tcp"}]
    container = {"Id": "1", "Names": ["/c"], "State": "running", "Labels": {"pullthrough.role": "cache"}}
    engine.answer("GET", "/containers/json", [container | {"Image": "x", "Ports": ports}])

    found = await asyncio.to_thread(cache_indexes.at_place, CachePlace(("127.0.0.1",), 9), engine.environ)

    assert found is not None
    assert "pypi" in found


@contextlib.contextmanager
def _answering(body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "body", [b"", b"Indexes:\n", b"\xff", b"[]", b"{}", b'{"forecast": {"kind": "page", "verdict": "hit"}}']
)
def test_another_program(body: bytes) -> None:
    """Whatever it says, it has no indexes of ours."""
    with _answering(body) as port:
        assert cache_indexes.of("127.0.0.1", port) is None
        assert cache_indexes.path_of("127.0.0.1", port, "https://index.example/simple/") is None
