"""What Compose is told of the cache: whose folder it is, and by which proxy it asks upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.builds.build_site import CachePlace
from proxy.builds.compose_variables import proxies, variables
from proxy.builds.setup_plan import SetupPlan, Ways, look
from tests.fake_engine import INFO, FakeEngine

_PLAN = SetupPlan(CachePlace(("127.0.0.1",), 3142), Path("/data"))
_WAYS = Ways(None, "", ("127.0.0.1", "172.17.0.1"), "172.17.0.1")
_PROXY = "http://user:word@proxy.example:3128"


def _config(**proxies: str) -> dict[str, object]:
    return {"proxies": {"default": proxies}}


@pytest.mark.parametrize("host", ["host.docker.internal", "172.17.0.1", "127.0.0.1", "localhost"])
def test_proxies__cache_itself(host: str) -> None:
    """`setup --write docker` puts it there: the cache would ask itself."""
    config = _config(httpProxy=f"http://{host}:3142", noProxy="localhost,127.0.0.1,pullthrough")

    assert {} == proxies(config, {}, "", _PLAN, _WAYS)


def test_proxies__of_the_house() -> None:
    """The way out of a company, as the guide of Docker Desktop has one write it."""
    config = _config(httpProxy=_PROXY, httpsProxy=_PROXY, noProxy="localhost,.example")

    expected = {"HTTP_PROXY": _PROXY, "HTTPS_PROXY": _PROXY, "NO_PROXY": "localhost,.example"}
    assert expected == proxies(config, {}, "PULLTHROUGH_DISK=1TB\n", _PLAN, _WAYS)
    assert {"HTTPS_PROXY": _PROXY} == proxies(
        _config(httpProxy="host.docker.internal:3142", httpsProxy=_PROXY), {}, "", _PLAN, _WAYS
    )


@pytest.mark.parametrize(
    ("environ", "others"),
    [({"https_proxy": ""}, ""), ({"HTTP_PROXY": "http://b:1"}, ""), ({}, "A=1\nALL_PROXY=http://c:1\n")],
)
def test_proxies__a_person_names_one(environ: dict[str, str], others: str) -> None:
    """That counts, and an empty one, too."""
    assert {} == proxies(_config(httpProxy=_PROXY), environ, others, _PLAN, _WAYS)


@pytest.mark.parametrize("config", [{}, {"proxies": None}, {"proxies": {"default": {"httpProxy": ""}}}])
def test_proxies__none(config: dict[str, object]) -> None:
    """Docker names none."""
    assert {} == proxies(config, {}, "", _PLAN, _WAYS)
    assert {"HTTP_PROXY": "http://[x"} == proxies(_config(httpProxy="http://[x"), {}, "", _PLAN, _WAYS)


@pytest.fixture
def rootless(engine: FakeEngine) -> Iterator[Ways]:
    """An engine of a user."""
    engine.answer("GET", "/info", INFO | {"SecurityOptions": ["name=rootless"]})
    ways = look(_PLAN, engine.environ)
    assert ways.engine is not None
    yield ways
    ways.engine.close()


def test_variables__of_a_rootless_engine(rootless: Ways, tmp_path: Path) -> None:
    """Its user 0 is the person: with the folder's own number inside, the cache could not write it."""
    plan = SetupPlan(_PLAN.place, tmp_path)

    assert "0:0" == variables(plan, rootless, {}, "", print)["PULLTHROUGH_USER"]


def test_variables__volume_and_proxy(tmp_path: Path) -> None:
    """What is not of setup's own is said; no folder has to be there."""
    said: list[str] = []
    (tmp_path / "config.json").write_text(json.dumps(_config(httpProxy=_PROXY)))

    plan = replace(_PLAN, own={"PULLTHROUGH_DATA": "mine"}, volume="mine")
    made = variables(plan, _WAYS, {"DOCKER_CONFIG": str(tmp_path)}, "PULLTHROUGH_DATA=mine\n", said.append)

    assert ("mine", _PROXY) == (made["PULLTHROUGH_DATA"], made["HTTP_PROXY"])
    assert "0" not in made["PULLTHROUGH_USER"].split(":")
    assert [
        "what the cache stores is in Docker's volume mine, as .env beside compose.yaml says",
        "the cache takes HTTP_PROXY from Docker's config.json: it names the proxy for containers",
    ] == said
