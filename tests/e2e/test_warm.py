"""What `pullthrough warm` is told to have is all that the real clients ask for, once there is no network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.apt import check, own_sources, takes_expired
from tests.e2e.clients import Server, run, serving
from tests.e2e.ways import FETCHED, pointed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_PACKAGES = ("jq", "sqlite3")
_DOCKERFILE = """\
FROM python:{python}-slim
ARG TOOLS="{tools}"
RUN apt-get update && \\
    apt-get install -y --no-install-recommends $TOOLS && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip python -m pip install -r requirements.txt && ./more.sh
"""


def warm(server: Server, home: Path, *words: str) -> dict[str, Any]:
    """Run the verb; gives its report."""
    environment = {"PULLTHROUGH_PORT": server.url.rpartition(":")[2]}
    found: dict[str, Any] = json.loads(
        run([sys.executable, "-m", "proxy", "warm", "--json", *words], home, environment)
    )
    return found


def test_warm__dockerfile_then_no_network(tmp_path: Path, home: Path) -> None:
    """The steps of a Dockerfile: packages of apt, and a requirement whose build needs others."""
    sources = own_sources()
    lines = [
        word
        for source in sources
        for word in ("--apt-source", f"deb {source.address} {source.suite} {source.components}")
    ]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = tmp_path / "Dockerfile"
    path.write_text(_DOCKERFILE.format(python=python, tools=" ".join(_PACKAGES)), encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("docopt==0.6.2\nsix==1.17.0\n", encoding="utf-8")
    data = tmp_path / "data"
    with serving(data, home) as server:
        report = warm(server, home, str(path), *lines)
        assert ([], []) == (report["refused"], report["missing"])
        (unread,) = report["unread"]
        assert "./more.sh" in unread
        assert 0 == warm(server, home, "--check", str(path), *lines)["came"]

    with serving(data, home, options=["--offline"]) as server:
        client = pointed(tmp_path / "client", sources, server.url, "proxy form")
        if takes_expired():
            client.options.append('Acquire::Check-Valid-Until "false";')
        check(client.update())
        check(client.download(*_PACKAGES))
        names = {name.partition("_")[0] for name in client.packages()}
        assert set(_PACKAGES) <= names
        folder = tmp_path / "installed"
        index = ("--index-url", f"{server.url}/pypi/simple/", "--no-cache-dir", "--retries", "0")
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--target",
                str(folder),
                *index,
                "-r",
                str(tmp_path / "requirements.txt"),
            ],
            home,
        )
        assert (folder / "docopt.py").exists()
        assert 0 == server.metric(FETCHED)
