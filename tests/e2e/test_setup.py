"""`pullthrough setup` with the real engine and the real Compose: the cache runs, and afterwards nothing is left."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.builds.engine import Engine
from tests.e2e import composing
from tests.e2e.clients import clean_environment
from tests.e2e.composing import ROOT
from tests.e2e.engine import DOCKER, docker, must

pytestmark = pytest.mark.e2e

_LIMIT = 600.0  # seconds: only for a process that hangs
_CHECKOUT = ("compose.yaml", "Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(python_base: str, tmp_path: Path) -> Iterator[Path]:
    """A copy of what the image is made of, under a name of its own for the image."""
    if reason := composing.obstacle():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    copy, image = tmp_path / "checkout", f"pullthrough-test-{uuid.uuid4().hex[:8]}"
    shutil.copytree(ROOT / "proxy", copy / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*_CHECKOUT, "requirements.txt", "requirements-build.txt"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "grafana", copy / "grafana")
    compose = (copy / "compose.yaml").read_text("utf-8")
    for old, new in (("pullthrough:latest", image), (r"grafana/grafana:\S+", f"{image}-grafana")):
        compose, count = re.subn(f"image: {old}", f"image: {new}", compose)
        assert 1 == count
    (copy / "compose.yaml").write_text(compose, "utf-8")
    ports = {"PULLTHROUGH_PROMETHEUS_PORT": _port(), "PULLTHROUGH_GRAFANA_PORT": _port()}
    (copy / ".env").write_text("".join(f"{name}={port}\n" for name, port in ports.items()), "utf-8")
    yield copy
    for name in (image, f"{image}-grafana"):
        composing.remove_image(name)


@pytest.fixture
def home_folder(tmp_path: Path) -> Path:
    """The home folder of somebody who has settings of pip, and of Docker."""
    home = tmp_path / "home"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_bytes(b"[global]\r\ntimeout = 60\r\n")
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_bytes(b'{\n\t"auths": {}\n}')
    return home


@pytest.fixture
def run(checkout: Path, home_folder: Path) -> Iterator[Run]:
    """Runs the verb of the copy; in the end nothing of it runs any more."""
    tools = checkout.parent / "tools"
    tools.mkdir()
    (tools / "docker").symlink_to(DOCKER)
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = clean_environment(home_folder) | {"PATH": path, "PYTHONPATH": str(checkout)}
    environ |= {"COMPOSE_PROJECT_NAME": f"pullthrough-test-{uuid.uuid4().hex[:8]}", "PYTHONDONTWRITEBYTECODE": "1"}

    def run_it(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "proxy", "setup", *arguments],
            cwd=home_folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )

    yield run_it
    run_it("--remove", "--yes")


def _state(*folders: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for folder in folders
        for path in folder.rglob("*")
    }


def _port() -> str:
    with socket.socket() as free:
        free.bind(("", 0))
        return str(free.getsockname()[1])


@pytest.mark.timeout(900)
def test_setup__there_and_back(run: Run, checkout: Path, home_folder: Path) -> None:
    """The cache is built, runs, and is proved; once more changes nothing; `--remove` leaves every byte as it was."""
    port, before = _port(), _state(home_folder, checkout)

    first = run("--port", port, "--write", "pip,uv,docker")

    assert 0 == first.returncode, first.stdout + first.stderr
    assert f"the cache runs in a container: http://127.0.0.1:{port}" in first.stdout
    assert f":{port}: proved by a build" in first.stdout
    with Engine.connect({"PATH": ""}) as engine:
        ours = [
            one
            for one in engine.containers()
            if any(str(mount.source).startswith(str(home_folder)) for mount in one.mounts)
        ]
        gateway = engine.bridge_gateway()
    assert [True] == [one.running for one in ours]
    assert {("127.0.0.1", int(port)), (gateway, int(port))} == {(one.host, one.port) for one in ours[0].ports}
    files = {name: one for name, one in _state(home_folder, checkout).items() if ".docker" not in name}

    second = run("--port", port, "--write", "pip,uv,docker")

    assert 0 == second.returncode, second.stdout + second.stderr
    assert "wrote" not in second.stdout
    assert files == {name: one for name, one in _state(home_folder, checkout).items() if ".docker" not in name}

    removed = run("--remove", "--yes")

    assert 0 == removed.returncode, removed.stdout + removed.stderr
    assert before == _state(home_folder, checkout)
    assert docker("inspect", ours[0].id).status != 0


@pytest.mark.timeout(900)
def test_setup__monitoring(run: Run, checkout: Path, home_folder: Path, busybox: str) -> None:
    """Prometheus scrapes the cache beside it. Grafana's image is in no package: a shell that waits stands in for it."""
    compose = (checkout / "compose.yaml").read_text("utf-8")
    ((prometheus, grafana),) = re.findall(r"image: (prom/\S+)(?s:.*)image: (\S+-grafana)", compose)
    composing.prometheus_image(prometheus)
    stand_in = checkout.parent / "grafana"
    stand_in.mkdir()
    (stand_in / "Dockerfile").write_text(f'FROM {busybox}\nCMD ["sleep", "1000000"]\n', "utf-8")
    must("build", "--tag", grafana, str(stand_in))
    before = _state(home_folder, checkout)

    result = run("--port", _port(), "--monitoring")

    assert 0 == result.returncode, result.stdout + result.stderr
    grafanas = (checkout / ".env").read_text("utf-8").partition("PULLTHROUGH_GRAFANA_PORT=")[2].splitlines()[0]
    assert f"Prometheus and Grafana run beside it: http://127.0.0.1:{grafanas}\n" in result.stdout
    with Engine.connect({"PATH": ""}) as engine:
        ours = [
            one
            for role in ("cache", "prometheus", "grafana")
            for one in engine.containers(role)
            if str(checkout) in one.labels["com.docker.compose.project.working_dir"]
        ]
    assert [True, True, True] == [one.running for one in ours]
    assert [prometheus, grafana] == [one.image for one in ours[1:]]
    assert {"127.0.0.1"} == {port.host for one in ours[1:] for port in one.ports}
    query = f"http://127.0.0.1:{ours[1].ports[0].port}/api/v1/query?query=up"
    until = time.monotonic() + _LIMIT
    while not (found := _asked(query)) and time.monotonic() < until:
        time.sleep(0.2)
    assert [("pullthrough", "1")] == [(one["metric"]["job"], one["value"][1]) for one in found]

    removed = run("--remove", "--yes")

    assert 0 == removed.returncode, removed.stdout + removed.stderr
    assert before == _state(home_folder, checkout)
    assert [1, 1, 1] == [docker("inspect", one.id).status for one in ours]


def _asked(query: str) -> list[dict[str, Any]]:
    """What Prometheus has; nothing as long as it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(query, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except OSError:
        return []
    return found if all(one["value"][1] == "1" for one in found) else []
