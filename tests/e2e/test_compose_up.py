"""The cache and Prometheus as compose.yaml runs them, on the real engine.

Prometheus is Debian's, imported under the name of the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy import version
from proxy.builds import contained_cache
from proxy.builds.contained_cache import ContainedStore
from proxy.control.protocol import CleanEnd, VerifyEnd, Wish
from tests import scrape
from tests.e2e import composing
from tests.e2e.clients import Failed, serving
from tests.e2e.composing import ROOT, Compose, project
from tests.e2e.engine import docker, must
from tests.origin import Origin
from tests.wheels import wheel

pytestmark = pytest.mark.e2e

_USER = "1234:1234"  # nobody's number: who the person is that owns the data folder does not matter
_SIZE = 500_000  # bytes: less than the file of the index has
_FETCH = """
import re, sys, urllib.parse, urllib.request
page = urllib.request.urlopen(sys.argv[1]).read().decode()
link = urllib.parse.urljoin(sys.argv[1], re.search('href="([^"#]+)', page)[1])
print(len(urllib.request.urlopen(link).read()))
"""
_LIMIT = 240.0  # seconds: only for what never happens


@pytest.fixture(scope="session")
def image(
    compose: None, python_base: str, bridge: str, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The cache's image, built by Compose; its libraries come from PyPI through a cache that runs on this machine."""
    folder = tmp_path_factory.mktemp("image")
    name = f"pullthrough-test-{uuid.uuid4().hex[:8]}"
    with serving(folder / "data", home, options=("--host", bridge)) as server:
        (folder / "pip.conf").write_text(
            f"[global]\nindex-url = {server.url.replace(bridge, 'pullthrough')}/pypi/simple/\n"
            f"trusted-host = pullthrough:{server.url.rpartition(':')[2]}\n",
            "utf-8",
        )
        build = {"extra_hosts": [f"pullthrough={bridge}"], "secrets": ["pip"]}
        override = _override(folder, {"cache": {"image": name, "build": build}}, pip=str(folder / "pip.conf"))
        with project(home, {}, override) as building:
            said = building.run("build", "cache")
        # Files may come from the installer's own cache in the engine; pages are asked for each time.
        pages = server.metric("pullthrough_sent_bytes_total", upstream="pypi", kind="page")
    assert (pages > 0) == ("Collecting aiohttp" in said), "unless the engine has the layer already"
    yield name
    composing.remove_image(name)


def _override(folder: Path, services: dict[str, Any], **secrets: str) -> Path:
    """A further file for Compose, in JSON, which is YAML."""
    path = folder / "override.yaml"
    path.write_text(
        json.dumps({"services": services, "secrets": {name: {"file": file} for name, file in secrets.items()}}), "utf-8"
    )
    return path


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("", 0))
        return str(free.getsockname()[1])


def _get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


async def _until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that another process does. Raises Failed."""
    try:
        async with asyncio.timeout(_LIMIT):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise Failed(f"{what}: did not happen") from None


class _Stand:
    """A project of Compose in front of a local index, and the ports at which it is reached."""

    def __init__(self, compose: Compose, data: Path) -> None:
        self.compose = compose
        self.data = data
        self.cache = f"http://127.0.0.1:{compose.variables['PULLTHROUGH_PORT']}"
        self.prometheus = f"http://127.0.0.1:{compose.variables['PULLTHROUGH_PROMETHEUS_PORT']}"

    async def up(self, *services: str) -> None:
        """Start, and wait until every container that has a health check is healthy."""
        await asyncio.to_thread(self.compose.run, "up", "--detach", "--no-build", *services)
        for service in services:
            await _until(partial(self.healthy, service), f"{service} is healthy")

    def healthy(self, service: str) -> bool:
        """Whether the service's health check ended well the last time."""
        return bool(self.compose.inspect(service)["State"]["Health"]["Status"] == "healthy")

    def metric(self, name: str, **labels: str) -> float:
        """A figure of the cache."""
        return scrape.value(_get(f"{self.cache}/metrics").decode(), name, **labels)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Ask Prometheus."""
        answer = json.loads(_get(f"{self.prometheus}/api/v1/query?query={urllib.parse.quote(query)}"))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def fetch(self, base: str, bridge: str) -> int:
        """Fetch the index's file in a container of the default network, where builds are; its size in bytes."""
        port = self.compose.variables["PULLTHROUGH_PORT"]
        page = f"http://pullthrough:{port}/pypi/simple/demo/"
        return int(must("run", "--rm", "--add-host", f"pullthrough:{bridge}", base, "python3", "-c", _FETCH, page))


@pytest.fixture
async def stand(image: str, bridge: str, tmp_path: Path) -> AsyncIterator[_Stand]:
    """Nothing runs yet. The settings lie beside the data; health is looked at often, so that a test needs not wait."""
    data = tmp_path / "data"
    data.mkdir()
    async with Origin(bridge) as origin:
        origin.publish(wheel("demo", "1.0", padding=_SIZE))
        (data / "pullthrough.toml").write_text(
            f'[[upstream]]\nmount = "pypi"\nurl = "{origin.url}/"\nindex = "simple/"\n', "utf-8"
        )
        for path in (data, data / "pullthrough.toml"):
            os.chown(path, *map(int, _USER.split(":")))
        often = {"healthcheck": {"interval": "1s", "timeout": "30s", "retries": 1}}
        override = _override(tmp_path, {"cache": {"image": image, **often}, "prometheus": often})
        variables = {
            "PULLTHROUGH_USER": _USER,
            "PULLTHROUGH_DATA": str(data),
            "PULLTHROUGH_PORT": _free_port(),
            "PULLTHROUGH_PROMETHEUS_PORT": _free_port(),
            "PULLTHROUGH_BRIDGE": bridge,
        }
        with project(tmp_path, variables, override) as made:
            yield _Stand(made, data)


async def test_up__cache_alone(stand: _Stand, python_base: str, bridge: str) -> None:
    """It runs without any right, and what it stored outlives its container: a second one asks upstream for no file."""
    await stand.up("cache")
    assert ["cache"] == stand.compose.services()
    assert _SIZE < await asyncio.to_thread(stand.fetch, python_base, bridge)
    assert stand.metric("pullthrough_fetched_bytes_total", upstream="pypi") > _SIZE
    status = stand.compose.shell("cache", "cat /proc/1/status; id; touch /opt/x /data/x && rm /data/x; touch /tmp/x")
    await asyncio.to_thread(stand.compose.run, "stop", "cache")
    ended = stand.compose.inspect("cache")["State"]
    await asyncio.to_thread(stand.compose.run, "down")
    await stand.up("cache")
    await asyncio.to_thread(stand.fetch, python_base, bridge)

    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "uid=1234 gid=1234" in status
    assert "'/opt/x': Read-only file system" in status
    assert 1 == status.count("cannot touch")
    assert (0, False) == (ended["ExitCode"], ended["OOMKilled"])
    assert stand.metric("pullthrough_fetched_bytes_total", upstream="pypi") < 100_000
    assert stand.metric("pullthrough_sent_bytes_total", kind="file", source="cache") > _SIZE
    assert {1234} == {path.stat().st_uid for path in stand.data.iterdir()}


async def test_up__verbs(stand: _Stand, python_base: str, bridge: str) -> None:
    """Verbs on this machine reach the store by the socket in its folder, and by running inside: both see the same.

    What they remove is fetched again.
    """
    await stand.up("cache")
    await asyncio.to_thread(stand.fetch, python_base, bridge)

    def verb(*arguments: str) -> str:
        variables = {**os.environ, "PULLTHROUGH_DATA": str(stand.data), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "proxy", *arguments]
        done = subprocess.run(command, cwd=stand.data, env=variables, capture_output=True, text=True, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    found = contained_cache.find([stand.data], os.environ)
    assert found is not None
    store = ContainedStore(found)
    by_socket = json.loads(await asyncio.to_thread(verb, "stats", "--json"))
    stats = await asyncio.to_thread(store.stats)
    said = await asyncio.to_thread(verb, "verify")
    verified = await asyncio.to_thread(lambda: list(store.verify())[-1])
    plan = await asyncio.to_thread(store.plan, Wish(project="demo"))
    cleaned = await asyncio.to_thread(lambda: list(store.clean(Wish(project="demo")))[-1])
    left = await asyncio.to_thread(store.stats)
    fetched = stand.metric("pullthrough_fetched_bytes_total", upstream="pypi")
    await asyncio.to_thread(stand.fetch, python_base, bridge)
    again = stand.metric("pullthrough_fetched_bytes_total", upstream="pypi")
    removed = await asyncio.to_thread(verb, "clean", "--project", "demo", "--yes")

    assert stand.compose.container("cache") == found.container.id
    assert ("/data", "demo-1.0-py3-none-any.whl") == (stats.folder, stats.largest[0].name)
    assert (stats.folder, stats.files, stats.size) == (by_socket["folder"], by_socket["files"], by_socket["size"])
    assert ["demo-1.0-py3-none-any.whl"] == [one["name"] for one in by_socket["largest"] if one["kind"] == "file"]
    assert stats.since is not None
    assert "Everything is what was stored." in said
    assert VerifyEnd(stats.files, stats.size, 0, 0, 0, 0) == verified
    assert CleanEnd(plan.files, plan.size, 0) == cleaned
    assert plan.size > _SIZE
    assert (stats.files - plan.files, stats.size - plan.size) == (left.files, left.size)
    assert again > fetched + _SIZE
    assert "Removed" in removed


async def test_up__health(stand: _Stand) -> None:
    """A cache that answers nobody is unhealthy, and healthy again once it answers."""
    await stand.up("cache")
    container = stand.compose.container("cache")
    inside = docker("exec", container, "pullthrough", "healthcheck")
    must("kill", "--signal", "STOP", container)
    await _until(lambda: not stand.healthy("cache"), "the cache is unhealthy")
    must("kill", "--signal", "CONT", container)
    await _until(lambda: stand.healthy("cache"), "the cache is healthy again")

    assert (0, "http://127.0.0.1:3142 serves: ok\n") == (inside.status, inside.output)


async def test_up__prometheus(stand: _Stand, python_base: str, bridge: str) -> None:
    """Prometheus scrapes the cache by its name in the project's network, as its settings here say."""
    image = stand.compose.config()["services"]["prometheus"]["image"]
    await asyncio.to_thread(composing.prometheus_image, image)
    await stand.up("cache", "prometheus")
    await asyncio.to_thread(stand.fetch, python_base, bridge)
    sent = f'sum(pullthrough_sent_bytes_total{{job="pullthrough",instance="pullthrough",kind="file"}}) > {_SIZE}'
    await _until(lambda: stand.ask(sent), "Prometheus has what the cache sent")

    assert ["cache", "prometheus"] == stand.compose.services()
    assert [["pullthrough", "1"]] == [[one["metric"]["job"], one["value"][1]] for one in stand.ask("up")]
    assert "level=error" not in stand.compose.logs("prometheus")


async def test_up__folder_of_somebody_else(stand: _Stand) -> None:
    """A data folder that this user cannot write, as Docker itself makes one, is named in one line of the log."""
    os.chown(stand.data, 0, 0)
    stand.data.chmod(0o755)
    await asyncio.to_thread(stand.compose.run, "up", "--detach", "--no-build", "cache")
    said = "pullthrough: The data folder /data cannot be written by user 1234. Let that user write there"
    await _until(lambda: said in stand.compose.logs("cache"), "the log names the folder")


async def test_up__volume(stand: _Stand) -> None:
    """A named volume can be written by whoever the cache runs as."""
    variables = {**stand.compose.variables, "PULLTHROUGH_DATA": "pullthrough-data"}
    with project(stand.data, variables, stand.compose.override) as made:
        own = _Stand(made, stand.data)
        await own.up("cache")
        listed = made.shell("cache", "ls /data; id -u")

    assert ["format", "index", "lock", "spool", "1234"] == [name for name in listed.split() if name != "control.sock"]


def test_image__holds_no_installer(image: str) -> None:
    """Nothing that installs comes with the program, and nothing of the cache that its libraries came through."""
    look = (
        "pullthrough --version; ls /opt; ls /opt/pullthrough/lib/python3*/site-packages; ls /src /etc/pip.conf; id -u"
    )
    done = docker("run", "--rm", "--entrypoint", "sh", image, "-c", look)
    said = must("history", "--no-trunc", image) + must("image", "inspect", image)

    names = done.output.split()
    assert 0 == done.status
    assert ["pullthrough", version(), "pullthrough"] == names[:3]
    assert "aiohttp" in names
    assert [] == [name for name in ("pip", "hatchling", "setuptools", "wheel") if name in names]
    assert "cannot access '/src'" in done.output
    assert "cannot access '/etc/pip.conf'" in done.output
    assert "1000" in names
    assert [] == [trace for trace in ("index-url", "trusted-host", "pip.conf", "pullthrough=") if trace in said]
