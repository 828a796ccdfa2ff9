"""Debian's `promtool` reads the configuration and tries the rules; its `prometheus` scrapes the cache while it is used.

Every expression of the dashboards is asked of that Prometheus, and has to give figures. No Grafana is there.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from grafana import dashboards
from tests.e2e.clients import Failed, Server, serving
from tests.e2e.composing import ROOT, prometheus_program
from tests.origin import Origin
from tests.wheels import wheel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

_SIZE = 300_000  # bytes: less than the file of the index has
_LIMIT = 90.0  # seconds: only for what never happens
_CHOSEN = {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".+", "$upstream": ".+"}
_PRICE = "${price:doublequote}"
_NO_PRICES = ("", "much", "0,09", "9 %", 'a "b', "$1", "NaN", "pullthrough_cache_bytes", "1) or vector(1")


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    return prometheus_program("promtool", tmp_path_factory.mktemp("promtool"))


@pytest.mark.parametrize(
    "arguments", [("check", "config", "--lint-fatal", "prometheus.yml"), ("test", "rules", "rules_test.yml")]
)
def test_promtool__finds_nothing(promtool: Path, arguments: tuple[str, ...]) -> None:
    """The configuration is valid with its rules, and each rule gives what the examples say."""
    done = subprocess.run(
        [promtool, *arguments], cwd=ROOT / "grafana", capture_output=True, text=True, timeout=300, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_metrics__have_the_names_that_prometheus_wants(promtool: Path, server: Server) -> None:
    """promtool has nothing to say against names, units, types and texts of what the running cache answers."""
    text = _get(f"{server.url}/metrics")

    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=300, check=False)

    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)


class _Prometheus:
    """The real one, with this checkout's configuration, but that it looks each second and asks `target`."""

    def __init__(self, program: Path, folder: Path, target: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        for name in ("prometheus.yml", "rules.yml"):
            text = (ROOT / "grafana" / name).read_text("utf-8").replace("cache:3142", target)
            (folder / name).write_text(re.sub(r"(interval): \S+", r"\1: 1s", text), "utf-8")
        options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}")
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([program, *options], cwd=folder, stdout=log, stderr=log)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The answer of now; nothing before it is ready. Raises Failed with what it says of a wrong expression."""
        try:
            answer = json.loads(_get(f"{self.url}/api/v1/query?query={urllib.parse.quote(expression)}"))
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return []
            raise Failed(f"{expression}\n{error.read().decode()}") from error
        except urllib.error.URLError:
            return []
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    async def figures(self, expression: str) -> list[float]:
        """Its figures, as soon as there are some. Raises Failed if there are none."""
        try:
            async with asyncio.timeout(_LIMIT):
                while True:
                    answer = await asyncio.to_thread(self.ask, expression)
                    found = [float(sample["value"][1]) for sample in answer]
                    if known := [figure for figure in found if not math.isnan(figure)]:
                        return known
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise Failed(f"no data: {expression}") from None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For the files of Prometheus."""
    made = tmp_path / "prometheus"
    made.mkdir()
    return made


def _get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def _expressions(price: str = "0.09") -> list[str]:
    """Those of the panels, as Grafana asks them when `price` is typed into the field."""
    found = []
    for text in dashboards.texts().values():
        for panel in json.loads(text)["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"].replace(_PRICE, json.dumps(price))
                for name, value in _CHOSEN.items():
                    expression = expression.replace(name, value)
                found.append(expression)
    return found


def _money(price: str) -> str:
    """The expression of the money saved."""
    (changed,) = set(_expressions(price)) - set(_expressions("another"))
    return changed


async def test_dashboards__have_data(home: Path, tmp_path: Path, folder: Path) -> None:
    """Each expression of the panels gives figures, and the sums that savings are made of are the cache's own.

    A price that is no number gives no money, and no mistake in a query.
    """
    settings = tmp_path / "pullthrough.toml"
    async with Origin() as origin:
        origin.publish(wheel("demo", "1.0", padding=_SIZE))
        settings.write_text(f'[[upstream]]\nmount = "pypi"\nurl = "{origin.url}/"\nindex = "simple/"\n', "utf-8")
        program = await asyncio.to_thread(prometheus_program, "prometheus", folder)
        with serving(tmp_path / "data", home, settings) as server:
            prometheus = _Prometheus(program, folder, server.url.removeprefix("http://"))
            try:
                # What is counted before the first look does not show in rates.
                sums = "instance_upstream:pullthrough_{}_bytes:sum{{upstream='pypi'}}"
                assert [0.0] == await prometheus.figures(sums.format("sent"))
                for _ in range(3):
                    page = (await asyncio.to_thread(_get, f"{server.index}demo/")).decode()
                    link = re.search('href="([^"#]+)', page)
                    assert link is not None
                    url = urllib.parse.urljoin(f"{server.index}demo/", link[1])
                    assert _SIZE < len(await asyncio.to_thread(_get, url))
                sent = server.metric("pullthrough_sent_bytes_total", upstream="pypi")
                fetched = server.metric("pullthrough_fetched_bytes_total", upstream="pypi")
                for name, size in (("sent", sent), ("fetched", fetched)):
                    assert [size] == await prometheus.figures(f"{sums.format(name)} == {size}")
                found = {expression: await prometheus.figures(expression) for expression in _expressions()}
                paid = {price: await asyncio.to_thread(prometheus.ask, _money(price)) for price in ("0.5", *_NO_PRICES)}
                alerts = await asyncio.to_thread(prometheus.ask, 'ALERTS{alertstate="firing"}')
            finally:
                prometheus.process.terminate()
                await asyncio.to_thread(prometheus.process.wait)

    assert sent - fetched > _SIZE
    assert len(found) > 20
    assert ["0.5"] == [price for price, answer in paid.items() if answer]
    assert [] == alerts
